"""A side in another Python environment: the side's server, and pairs across two environments.

Both sides run this environment's stepbench; all other packages are those of each environment.
"""

import contextlib
import os
import pickle
import platform
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Client, Listener
from pathlib import Path

import msgspec

from stepbench.errors import UsageError
from stepbench.interference.watch import MachineWatch
from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job, Outcome
from stepbench.process.server import Server
from stepbench.regression.pair import PairRequest, SideError, TakenPair
from stepbench.regression.tree import MEASURING
from stepbench.regression.turns import Ends, take_turns
from stepbench.regression.worktree import temporary_directory
from stepbench_reports.schema.check import SIDES, SideFailure, SideName
from stepbench_reports.schema.status import Status

_TRY = """\
import json, pickle, sys
own = list(sys.path)
sys.path.insert(0, sys.argv[1])
import torch
import stepbench.regression.worker.operators, stepbench.regression.worker.pairing
import stepbench.parity.examination
pickle.loads(bytes.fromhex(sys.argv[2]))
print(json.dumps({"path": own, "torch": torch.__version__, "python": sys.version.split()[0]}))
"""


@dataclass(frozen=True)
class EnvironmentFacts:
    """Facts about another environment.

    Attributes:
        path: The import path of the environment's Python.
        torch: The version of torch.
        python: The version of Python.
    """

    path: tuple[str, ...]
    torch: str
    python: str


@contextlib.contextmanager
def other(python: Path) -> Iterator["Environment"]:
    """Opens another environment, with this environment's stepbench, while the context lasts.

    Raises:
        UsageError: stepbench cannot run in the environment, for lack of a package for example.
    """
    with temporary_directory("environment") as directory:
        for package in MEASURING:
            (directory / package.name).symlink_to(package, target_is_directory=True)
        yield Environment(python, directory, _tried(python, directory))


def _tried(python: Path, directory: Path) -> EnvironmentFacts:
    """Imports stepbench and torch in the environment; returns its facts."""
    # Requests are sent pickled, and not every version of Python can read another's pickles.
    sent = pickle.dumps(Path("some", "where")).hex()
    command = [str(python), "-P", "-c", _TRY, str(directory), sent]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UsageError(f"--base-python {python}: cannot be run ({error.strerror})") from None
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"it left with {done.returncode}"]
        raise UsageError(
            f"--base-python {python}: cannot run stepbench there: {last[0]}; it needs the same "
            f"release of Python as head, {platform.python_version()}, or one near it, and "
            f"stepbench's dependencies, such as by: uv pip install --python {python} stepbench"
        )
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=EnvironmentFacts)


class Environment:
    """Another Python environment.

    Args:
        python: The interpreter.
        directory: The directory with stepbench's packages, and no others.
        facts: The environment's import path, and the versions of Python and torch.
    """

    def __init__(self, python: Path, directory: Path, facts: EnvironmentFacts) -> None:
        self._python = python
        self.facts = {"torch": facts.torch, "python": facts.python}
        self._search_path = [str(directory), *(entry for entry in facts.path if entry)]

    def server(self, preload: tuple[str, ...], extras: tuple[str, ...] = ()) -> Server:
        """Starts a server in the environment."""
        return ForkServer(preload, self._search_path, Path.cwd(), str(self._python), extras)


def pair_apart(
    asked: PairRequest,
    servers: Mapping[SideName, Server],
    deadline_s: float,
    on_progress: Callable[[str], None],
) -> TakenPair | SideFailure:
    """Takes a pair whose sides are children of two servers.

    Args:
        asked: The pair to take.
        servers: The server of each side.
        deadline_s: The longest that the pair may take, seconds.
        on_progress: Called with a few words on the current activity.
    """
    # An abstract Unix socket (Linux) leaves no file behind, even after a crash.
    address = f"\0stepbench-{os.getpid()}-{secrets.token_hex(8)}"
    threads = [
        threading.Thread(
            target=_attend,
            args=(servers[side], side, asked, address, deadline_s),
            daemon=True,  # if this call ends early, threads end with their servers
        )
        for side in SIDES
    ]
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(Listener(address, family="AF_UNIX", backlog=4))
        for thread in threads:
            thread.start()
        ends = {}
        for _ in SIDES:
            end = stack.enter_context(listener.accept())
            word, value = end.recv()
            if word == "gone":
                found: TakenPair | SideFailure = value
                break
            ends[value] = end
        else:
            found = _taken(asked, ends, on_progress)
    for thread in threads:  # sides leave once their connections are closed
        thread.join()
    return found


def _taken(
    asked: PairRequest, ends: Ends, on_progress: Callable[[str], None]
) -> TakenPair | SideFailure:
    try:
        return take_turns(on_progress, asked, ends, MachineWatch)
    except SideError as error:
        return error.failed


def _attend(
    server: Server, side: SideName, asked: PairRequest, address: str, deadline_s: float
) -> None:
    """Runs a side in a child of a server, and reports a failure to the listener."""
    job = Job("stepbench.regression.worker.side:answer", (address, asked.sides[side]))
    try:
        outcome = server.run(job, deadline_s=deadline_s, on_progress=lambda _: None)
    except Exception as error:  # noqa: BLE001  # the listener must not wait forever
        outcome = Outcome(Status.CRASHED, reason=str(error))
    if outcome.status is not Status.OK:
        failed = SideFailure(
            side=side, reason=outcome.reason or str(outcome.status), detail=outcome.detail
        )
        with contextlib.suppress(OSError), Client(address, family="AF_UNIX") as end:
            end.send(("gone", failed))
