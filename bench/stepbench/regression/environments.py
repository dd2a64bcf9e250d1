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
from stepbench.process.extras import Extras
from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job, Outcome
from stepbench.process.server import NO_VARIABLES, Server
from stepbench.regression.pair import PairRequest, SideError, TakenPair
from stepbench.regression.tree import STEPBENCH_PACKAGES
from stepbench.regression.turns import Connections, take_turns
from stepbench.regression.worktree import temporary_directory
from stepbench_reports.schema.check import SIDES, SideFailure, SideName
from stepbench_reports.schema.status import Status

_PROBE = """\
import json, pickle, sys
search_path = list(sys.path)
sys.path.insert(0, sys.argv[1])
import torch
import stepbench.regression.worker.operators, stepbench.regression.worker.pairing
import stepbench.parity.judgement
pickle.loads(bytes.fromhex(sys.argv[2]))
versions = {"torch": torch.__version__, "python": sys.version.split()[0]}
print(json.dumps({"search_path": search_path, **versions}))
"""


@dataclass(frozen=True)
class EnvironmentFacts:
    """Facts about another environment.

    Attributes:
        search_path: The import path of the environment's Python.
        torch: The version of torch.
        python: The version of Python.
    """

    search_path: tuple[str, ...]
    torch: str
    python: str


@contextlib.contextmanager
def opened(python: Path) -> Iterator["Environment"]:
    """Opens another environment, with this environment's stepbench, while the context lasts.

    Raises:
        UsageError: stepbench cannot run in the environment, for lack of a package for example.
    """
    with temporary_directory("environment") as directory:
        for package in STEPBENCH_PACKAGES:
            (directory / package.name).symlink_to(package, target_is_directory=True)
        yield Environment(python, directory, _probe(python, directory))


def _probe(python: Path, directory: Path) -> EnvironmentFacts:
    """Imports stepbench and torch in the environment; returns its facts."""
    # Requests are sent pickled, and not every version of Python can read another's pickles.
    pickled = pickle.dumps(Path("some", "where")).hex()
    command = [str(python), "-P", "-c", _PROBE, str(directory), pickled]
    try:
        completed = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UsageError(f"--base-python {python}: cannot be run ({error.strerror})") from None
    if completed.returncode:
        lines = completed.stderr.strip().splitlines() or [f"exit code {completed.returncode}"]
        raise UsageError(
            f"--base-python {python}: cannot run stepbench ({lines[-1]}); install stepbench's "
            f"dependencies there (uv pip install --python {python} stepbench), and use head's "
            f"release of Python, {platform.python_version()}, or a similar one"
        )
    return msgspec.json.decode(completed.stdout.splitlines()[-1], type=EnvironmentFacts)


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
        self._search_path = [str(directory), *(entry for entry in facts.search_path if entry)]

    def server(
        self,
        preload: tuple[str, ...],
        extras: Extras | None = None,
        environment: Mapping[str, str] = NO_VARIABLES,
    ) -> Server:
        """Starts a server in the environment, with further environment variables."""
        return ForkServer(
            preload,
            self._search_path,
            Path.cwd(),
            python=str(self._python),
            extras=extras,
            environment=environment,
        )


def pair_across_environments(
    request: PairRequest,
    servers: Mapping[SideName, Server],
    deadline_s: float,
    on_progress: Callable[[str], None],
) -> TakenPair | SideFailure:
    """Takes a pair whose sides are children of two servers.

    Args:
        request: The pair to take.
        servers: The server of each side.
        deadline_s: The longest that the pair may take, seconds.
        on_progress: Called with a few words on the current activity.
    """
    # An abstract Unix socket (Linux) leaves no file behind, even after a crash.
    address = f"\0stepbench-{os.getpid()}-{secrets.token_hex(8)}"
    threads = [
        threading.Thread(
            target=_run_side,
            args=(servers[side], side, request, address, deadline_s),
            daemon=True,  # if this call ends early, threads end with their servers
        )
        for side in SIDES
    ]
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(Listener(address, family="AF_UNIX", backlog=4))
        for thread in threads:
            thread.start()
        connections = {}
        for _ in SIDES:
            connection = stack.enter_context(listener.accept())
            kind, value = connection.recv()
            if kind == "failed":
                result: TakenPair | SideFailure = value
                break
            connections[value] = connection
        else:
            result = _take_turns(request, connections, on_progress)
    for thread in threads:  # sides exit once their connections are closed
        thread.join()
    return result


def _take_turns(
    request: PairRequest, connections: Connections, on_progress: Callable[[str], None]
) -> TakenPair | SideFailure:
    try:
        return take_turns(on_progress, request, connections, MachineWatch)
    except SideError as error:
        return error.failed


def _run_side(
    server: Server, side: SideName, request: PairRequest, address: str, deadline_s: float
) -> None:
    """Runs a side in a child of a server, and reports a failure to the listener."""
    job = Job("stepbench.regression.worker.side:connect_and_run", (address, request.sides[side]))
    try:
        outcome = server.run(job, deadline_s=deadline_s, on_progress=lambda _: None)
    except Exception as error:  # noqa: BLE001  # the listener must not wait forever
        outcome = Outcome(Status.CRASHED, reason=str(error))
    if outcome.status is not Status.OK:
        failure = SideFailure(
            side=side, reason=outcome.reason or str(outcome.status), detail=outcome.detail
        )
        with contextlib.suppress(OSError), Client(address, family="AF_UNIX") as connection:
            connection.send(("failed", failure))
