"""Pairs of real sides."""

import random
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job
from stepbench.process.server import Server, ServerGoneError
from stepbench.regression.pair import (
    PairPlace,
    PlayedPair,
    pair_line,
    take_pair,
    take_pair_apart,
)
from stepbench.regression.servers import PLAY, PRELOAD
from stepbench.regression.side_requests import SideRequest
from stepbench.regression.tree import Tree
from stepbench.scheduling.player import Limits, Player
from stepbench_reports.regression import records
from stepbench_reports.schema.check import (
    SIDES,
    FailedPairLine,
    PairLine,
    SideEnd,
    SideName,
    TurnOptions,
)
from stepbench_reports.schema.files import decode, encode
from stepbench_reports.schema.run import SamplingOptions
from support import repositories

pytestmark = pytest.mark.usefixtures("forked_servers")

CASE = Case(workload="train.py:make", batch_size=4, num_workers=1)
QUICK = TurnOptions(seconds=0.005, total_s=0.1)
PLACE = PairPlace(CASE.id, 3, 2, "screen")
BROKEN = "raise RuntimeError('broken on purpose')\n"
SLEEPY = "import time\n\n\ndef pause():\n    time.sleep(600)\n"
KILLED = "import os, signal\n\n\ndef pause():\n    os.kill(os.getpid(), signal.SIGKILL)\n"
GREEDY = """
import fcntl

room = open({room!r}, "a")


def pause():
    try:
        fcntl.flock(room, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MemoryError("no room for two")
"""
"""A side that needs what only one process can have, as two may need a device's memory."""
THROTTLED = """
from stepbench.devices import cpu
from stepbench.devices.kind import GaugeReading


class Hot:
    def begin(self):
        self.begun = True

    def end(self):
        return GaugeReading(1.5e9, "heat") if self.begun else None


cpu.CPU.gauge = lambda self, device: Hot()


def pause():
    pass
"""


@pytest.fixture
def checkouts(tmp_path: Path) -> dict[SideName, Path]:
    return {side: repositories.make(tmp_path / side) for side in SIDES}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = ForkServer(PRELOAD, sys.path, tmp_path)
    yield made
    made.close()


def take(
    server: Server,
    checkouts: dict[SideName, Path],
    tmp_path: Path,
    deadline_s: float = 600,
    on_progress: Callable[[str], None] = lambda _: None,
    take_pair: Callable[..., PlayedPair] = take_pair,
) -> PlayedPair:
    def start(side: SideName) -> Player[SideEnd]:
        tree = Tree(side, checkouts["head"], checkouts[side], Path())
        request = Request(CASE, SamplingOptions(max_time_s=0.4), tmp_path / "cache" / side)
        job = Job(PLAY, (SideRequest(tree, request),))
        return Player(server, job, Limits(deadline_s, on_progress))

    return take_pair(start, QUICK, on_progress, random.Random(0))  # noqa: S311  # repeatable


def test_each_side_runs_its_own_files(
    server: Server, checkouts: dict[SideName, Path], tmp_path: Path
) -> None:
    (checkouts["head"] / "pace.py").write_text(repositories.SLOW)
    played = take(server, checkouts, tmp_path)
    for ended in played.facts.values():
        assert ended.modules == 2
        assert ended.foreign == ()
        assert ended.host_peak_bytes > 2**20
    line = pair_line(played, PLACE)
    assert isinstance(line, PairLine)
    forward_s = {
        side: min(
            forward / steps
            for forward, steps, taker in zip(
                line.turns.phases_s["forward"], line.turns.steps, line.turns.side, strict=True
            )
            if taker == side
        )
        for side in SIDES
    }
    assert forward_s["head"] >= 0.02 > forward_s["base"]  # it sleeps for so long


def test_the_line_of_a_pair_holds_its_turns(
    server: Server, checkouts: dict[SideName, Path], tmp_path: Path
) -> None:
    line = pair_line(take(server, checkouts, tmp_path), PLACE)
    assert isinstance(line, PairLine)
    assert decode("pairs.jsonl", encode(line), PairLine) == line
    assert (line.case, line.round, line.server, line.stage) == (CASE.id, 3, 2, "screen")
    pair = records.pair(line)
    assert set(pair.base) == {"step", "dataload", "forward", "backward", "optimizer"}
    assert pair.server == 2
    rounds = [line.turns.side[first : first + 4] for first in range(0, len(line.turns.side), 4)]
    assert set(rounds) <= {("base", "head", "head", "base"), ("head", "base", "base", "head")}
    assert len(rounds) >= QUICK.min_rounds
    assert all(isinstance(delay_s, float) for delay_s in line.turns.run_delay_s)


def test_sides_that_find_no_room_beside_each_other_are_measured_one_at_a_time(
    server: Server, checkouts: dict[SideName, Path], tmp_path: Path
) -> None:
    for side in SIDES:
        (checkouts[side] / "pace.py").write_text(GREEDY.format(room=str(tmp_path / "room")))
    together = take(server, checkouts, tmp_path)
    assert len(together.deferred) == 1
    assert not together.lost
    played = take(server, checkouts, tmp_path, take_pair=take_pair_apart)
    line = pair_line(played, PLACE, together=False)
    assert isinstance(line, PairLine)
    assert not line.together
    assert {*line.sides} == {*SIDES}
    changes = [first != second for first, second in pairwise(line.turns.side)]
    assert sum(changes) == 1  # one side's turns, then the opposite side's
    pair = records.pair(line)
    assert set(pair.base) == set(pair.head) == {
        "step", "dataload", "forward", "backward", "optimizer",
    }  # fmt: skip


def test_a_side_that_fails_alone_is_named_and_the_opposite_one_may_not_start(
    server: Server, checkouts: dict[SideName, Path], tmp_path: Path
) -> None:
    (checkouts["head"] / "pace.py").write_text(BROKEN)
    line = pair_line(take(server, checkouts, tmp_path, take_pair=take_pair_apart), PLACE)
    assert isinstance(line, FailedPairLine)
    assert line.failed.side == "head"
    assert "broken on purpose" in line.failed.reason


@pytest.mark.parametrize("throttled", [("head",), SIDES], ids=["one side", "both sides"])
def test_a_device_that_is_throttled_on_one_side_is_interference(
    server: Server,
    checkouts: dict[SideName, Path],
    tmp_path: Path,
    throttled: tuple[SideName, ...],
) -> None:
    for side in throttled:
        (checkouts[side] / "pace.py").write_text(THROTTLED)
    line = pair_line(take(server, checkouts, tmp_path), PLACE)
    assert isinstance(line, PairLine)
    for side, reason in zip(line.turns.side, line.turns.throttled, strict=True):
        assert reason == ("heat" if side in throttled else None)
    if len(throttled) == 1:
        assert line.interference


@pytest.mark.parametrize(
    ("content", "message"),
    [(BROKEN, "broken on purpose"), (KILLED, "SIGKILL")],
    ids=["raises", "killed"],
)
@pytest.mark.parametrize("side", SIDES)
def test_a_side_that_fails_is_named_and_nothing_is_left(
    server: Server,
    checkouts: dict[SideName, Path],
    tmp_path: Path,
    side: SideName,
    content: str,
    message: str,
) -> None:
    server.wait_until_ready()
    before = len(psutil.Process().children(recursive=True))
    (checkouts[side] / "pace.py").write_text(content)
    line = pair_line(take(server, checkouts, tmp_path), PLACE)
    assert isinstance(line, FailedPairLine)
    assert line.failed.side == side
    assert message in line.failed.reason
    assert len(psutil.Process().children(recursive=True)) == before


def test_if_both_sides_fail_it_is_base_s_fault(
    server: Server, checkouts: dict[SideName, Path], tmp_path: Path
) -> None:
    for side in SIDES:
        (checkouts[side] / "pace.py").write_text(BROKEN)
    line = pair_line(take(server, checkouts, tmp_path), PLACE)
    assert isinstance(line, FailedPairLine)
    assert line.failed.side == "base"


def test_a_side_that_takes_too_long_is_ended_and_named(
    server: Server, checkouts: dict[SideName, Path], tmp_path: Path
) -> None:
    server.wait_until_ready()
    before = len(psutil.Process().children(recursive=True))
    (checkouts["base"] / "pace.py").write_text(SLEEPY)
    line = pair_line(take(server, checkouts, tmp_path, deadline_s=10), PLACE)
    assert isinstance(line, FailedPairLine)
    assert (line.failed.side, "--deadline" in line.failed.reason) == ("base", True)
    assert len(psutil.Process().children(recursive=True)) == before


def test_the_sides_end_with_the_server_that_is_killed(
    checkouts: dict[SideName, Path], tmp_path: Path
) -> None:
    (checkouts["head"] / "pace.py").write_text(SLEEPY)
    server = ForkServer(PRELOAD, sys.path, tmp_path)
    server.wait_until_ready()
    family: list[psutil.Process] = []

    def on_progress(activity: str) -> None:
        if activity == "first step" and not family:
            killed = psutil.Process(server._process._process.pid)
            family.extend(killed.children(recursive=True))
            killed.kill()

    with pytest.raises(ServerGoneError):
        take(server, checkouts, tmp_path, on_progress=on_progress)
    server.close()
    assert family
    _, alive = psutil.wait_procs(family, timeout=120)
    assert not alive
