"""A side in another Python environment: its server, and pairs across two of them.

stepbench itself is taken from here on both sides; all else is each environment's own.
"""

import contextlib
import json
import os
import pickle
import platform
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Client, Listener
from pathlib import Path
from typing import Any

from bench.child import ForkServer, Job, Outcome, Server, Status
from bench.disturbance import MachineWatch
from bench.errors import UsageError
from bench.regression.pair import SIDES, Failed, Pair, PairRequest, SideError
from bench.regression.tree import STEPBENCH
from bench.regression.turns import Ends, take_turns
from bench.regression.worktree import guarded

_PARTS = ("bench", "reports", "models")
_TRY = """\
import json, pickle, sys
own = list(sys.path)
sys.path.insert(0, sys.argv[1])
import torch
import bench.regression.operators, bench.regression.pairing, bench.parity
pickle.loads(bytes.fromhex(sys.argv[2]))
print(json.dumps({"path": own, "torch": torch.__version__, "python": sys.version.split()[0]}))
"""


@contextlib.contextmanager
def other(python: Path) -> Iterator["Environment"]:
    """Another environment, with stepbench of this one, for as long as the context lasts.

    Raises:
        UsageError: It lacks what stepbench needs.
    """
    with guarded("environment") as holder:
        for part in _PARTS:
            (holder / part).symlink_to(STEPBENCH / part, target_is_directory=True)
        yield Environment(python, holder, _tried(python, holder))


def _tried(python: Path, place: Path) -> Mapping[str, Any]:
    # What a side is asked goes there pickled, which not any two releases of Python can read.
    sent = pickle.dumps(Path("some", "where")).hex()
    command = [str(python), "-P", "-c", _TRY, str(place), sent]
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
    found: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class Environment:
    """Another Python environment.

    Args:
        python: Its interpreter.
        place: A directory with stepbench in it, and nothing else.
        facts: What it told of itself.
    """

    def __init__(self, python: Path, place: Path, facts: Mapping[str, Any]) -> None:
        self._python = python
        self._place = place
        self.facts = {"torch": facts["torch"], "python": facts["python"]}
        self._search_path = [str(place), *(entry for entry in facts["path"] if entry)]

    def server(self, preload: tuple[str, ...], extras: tuple[str, ...] = ()) -> Server:
        """A fresh server in it."""
        return ForkServer(preload, self._search_path, Path.cwd(), str(self._python), extras)


def pair_apart(
    asked: PairRequest,
    servers: Mapping[str, Server],
    deadline_s: float,
    on_progress: Callable[[str], None],
) -> Pair | Failed:
    """Takes a pair whose sides are children of two servers.

    Args:
        asked: Which.
        servers: Each side's.
        deadline_s: How long it may take.
        on_progress: Is told in a word what is being done.
    """
    # A name in Linux's own space of sockets: nothing of it is left, however this ends.
    address = f"\0stepbench-{os.getpid()}-{secrets.token_hex(8)}"
    threads = [
        threading.Thread(
            target=_attend,
            args=(servers[side], side, asked, address, deadline_s),
            daemon=True,  # where this ends early, the servers' end is theirs
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
                found: Pair | Failed = value
                break
            ends[value] = end
        else:
            found = _taken(asked, ends, on_progress)
    for thread in threads:  # the connections are closed, on which their sides leave
        thread.join()
    return found


def _taken(asked: PairRequest, ends: Ends, on_progress: Callable[[str], None]) -> Pair | Failed:
    try:
        return take_turns(on_progress, asked, ends, MachineWatch)
    except SideError as error:
        return error.failed


def _attend(server: Server, side: str, asked: PairRequest, address: str, deadline_s: float) -> None:
    """Has a side's child live, and tells where it could not."""
    job = Job("bench.regression.side:answer", (address, asked.sides[side]))
    try:
        outcome = server.run(job, deadline_s=deadline_s, on_progress=lambda _: None)
    except Exception as error:  # noqa: BLE001  # the one that waits for it must not wait forever
        outcome = Outcome(Status.CRASHED, reason=str(error))
    if outcome.status is not Status.OK:
        failed = Failed(side, outcome.reason or str(outcome.status), outcome.detail)
        with contextlib.suppress(OSError), Client(address, family="AF_UNIX") as end:
            end.send(("gone", failed))
