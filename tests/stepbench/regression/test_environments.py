"""A side in another Python environment."""

import json
import random
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.errors import UsageError
from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job
from stepbench.process.server import Server
from stepbench.regression.environments import opened
from stepbench.regression.pair import PairPlace, PlayedPair, pair_line, take_pair
from stepbench.regression.servers import PLAY, PRELOAD
from stepbench.regression.side_requests import SideRequest
from stepbench.regression.tree import Tree
from stepbench.scheduling.player import Limits, Player
from stepbench_reports.schema.check import (
    SIDES,
    FailedPairLine,
    PairLine,
    SideEnd,
    SideName,
    TurnOptions,
)
from stepbench_reports.schema.run import SamplingOptions
from support import other_user, repositories
from support.other_user import needs_root

CASE = Case(workload="train.py:make", batch_size=4, num_workers=0)
QUICK = TurnOptions(seconds=0.005, total_s=0.1)
PLACE = PairPlace(CASE.id, 1, 1, "screen")
ACCEPTS = 0x10000
"""The flag of a listening socket in `/proc/net/unix`."""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another environment with the same packages."""
    directory = tmp_path_factory.mktemp("environment")
    real = Path(sys.prefix)
    (directory / "bin").mkdir()
    (directory / "bin" / "python").symlink_to(sys.executable)
    for name in ("lib", "pyvenv.cfg"):
        if (real / name).exists():
            (directory / name).symlink_to(real / name)
    return directory / "bin" / "python"


@pytest.fixture(scope="module")
def servers(
    python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[SideName, Server]]:
    """A server of each side, base's in the other environment."""
    import torch

    with opened(python) as environment:
        assert environment.facts["torch"] == torch.__version__
        head = ForkServer(PRELOAD, sys.path, tmp_path_factory.mktemp("somewhere"))
        made: dict[SideName, Server] = {"base": environment.server(PRELOAD), "head": head}
        yield made
        for server in made.values():
            server.close()


@pytest.fixture
def checkouts(tmp_path: Path) -> dict[SideName, Path]:
    return {side: repositories.make(tmp_path / side) for side in SIDES}


def take(
    servers: Mapping[SideName, Server],
    checkouts: dict[SideName, Path],
    tmp_path: Path,
    on_progress: Any = lambda _: None,
) -> PlayedPair:
    def start(side: SideName) -> Player[SideEnd]:
        tree = Tree(side, checkouts["head"], checkouts[side], Path())
        request = Request(CASE, SamplingOptions(max_time_s=0.4), tmp_path / "cache" / side)
        job = Job(PLAY, (SideRequest(tree, request),))
        return Player(servers[side], job, Limits(600, lambda _: None))

    return take_pair(start, QUICK, on_progress, random.Random(0))  # noqa: S311  # repeatable


def listening_sockets() -> set[str]:
    """The inodes of the Unix sockets that accept connections, of this process and those below."""
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    listening = {line.split()[6] for line in lines if int(line.split()[3], 16) & ACCEPTS}
    current = psutil.Process()
    links = [
        link.readlink().name
        for process in (current, *current.children(recursive=True))
        for link in Path(f"/proc/{process.pid}/fd").iterdir()
        if link.is_symlink()
    ]
    return {inode for inode in listening if f"socket:[{inode}]" in links}


def test_each_side_runs_its_files_and_nobody_else_can_connect(
    servers: Mapping[SideName, Server], checkouts: dict[SideName, Path], tmp_path: Path
) -> None:
    (checkouts["base"] / "pace.py").write_text(repositories.SLOW)
    before = listening_sockets()
    during: list[set[str]] = []
    played = take(servers, checkouts, tmp_path, lambda _: during.append(listening_sockets()))
    assert during
    assert all(sockets == before for sockets in during)
    line = pair_line(played, PLACE)
    assert isinstance(line, PairLine)
    base_s = [
        forward_s / steps
        for forward_s, steps, side in zip(
            line.turns.phases_s["forward"], line.turns.steps, line.turns.side, strict=True
        )
        if side == "base"
    ]
    assert min(base_s) >= 0.02  # it sleeps for so long


ATTACK = """
import contextlib, ctypes, json, os, socket, sys

listening, pids, temporary = json.loads(LIVE)
reached = []

for line in open("/proc/net/unix").read().splitlines()[1:]:
    columns = line.split(maxsplit=7)
    if columns[6] in listening and len(columns) == 8:
        name = columns[7].replace("@", chr(0), 1) if columns[7][0] == "@" else columns[7]
        for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as client:
                client.connect(name)
                reached.append("socket " + columns[7])

def take_a_descriptor(pid):
    handle = os.pidfd_open(pid)
    for number in range(64):
        if ctypes.CDLL(None).syscall(438, handle, number, 0) >= 0:  # pidfd_getfd
            return
    raise PermissionError

def write_memory(pid):
    os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))

def list_descriptors(pid):
    os.listdir(f"/proc/{pid}/fd")

def send_a_signal(pid):
    os.kill(pid, 0)

for pid in (*pids, os.getpid()):
    for attempt in (take_a_descriptor, write_memory, list_descriptors, send_a_signal):
        with contextlib.suppress(OSError):
            attempt(pid)
            reached.append(f"{attempt.__name__} {'own' if pid == os.getpid() else pid}")

for directory in temporary:
    with contextlib.suppress(OSError):
        os.listdir(directory)
        reached.append(f"directory {directory}")

print(json.dumps(reached))
"""
"""What another user tries: each listening socket, each process and each temporary directory."""


@needs_root
def test_another_user_reaches_no_process_of_the_gate(
    servers: Mapping[SideName, Server], checkouts: dict[SideName, Path], tmp_path: Path
) -> None:
    attacks: list[list[str]] = []

    def attack(_: str) -> None:
        if attacks:
            return
        pids = [child.pid for child in psutil.Process().children(recursive=True)]
        temporary = [str(path) for path in Path(tempfile.gettempdir()).glob("stepbench-*")]
        assert pids
        assert temporary
        live = json.dumps([sorted(listening_sockets()), pids, temporary])
        with other_user.readable_directory() as directory:
            done = other_user.run(ATTACK.replace("LIVE", repr(live)), directory)
        assert done.returncode == 0, done.stderr
        attacks.append(json.loads(done.stdout))

    open_door = f"open-door-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX) as listener:  # shows that the attack finds what is there
        listener.bind(f"\0{open_door}")
        listener.listen()
        take(servers, checkouts, tmp_path, attack)
    assert attacks == [
        [
            f"socket @{open_door}",
            "take_a_descriptor own",
            "write_memory own",
            "list_descriptors own",
            "send_a_signal own",
        ]
    ]


def test_a_side_that_is_killed_is_named(
    servers: Mapping[SideName, Server], checkouts: dict[SideName, Path], tmp_path: Path
) -> None:
    killed = "import os, signal\n\n\ndef pause():\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    (checkouts["base"] / "pace.py").write_text(killed)
    line = pair_line(take(servers, checkouts, tmp_path), PLACE)
    assert isinstance(line, FailedPairLine)
    assert (line.failed.side, "SIGKILL" in line.failed.reason) == ("base", True)


def test_an_environment_without_torch_is_refused() -> None:
    bare = Path(sys.base_prefix) / "bin" / Path(sys.executable).name
    if not bare.exists():
        pytest.skip(f"this Python has no interpreter of its own at {bare}")
    with (
        pytest.raises(UsageError, match=r"--base-python .* cannot run stepbench .*torch"),
        opened(bare),
    ):
        pass
