"""Generations and groups of real processes."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.config.turns import PlayerFacts, TurnKind
from stepbench.interference import standstill
from stepbench.interference.standstill import Moment
from stepbench.interference.watch import usable_cores
from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job
from stepbench.runner.measuring import PLAY
from stepbench.scheduling.generation import GenerationPlan, Played, play
from stepbench.scheduling.group import Group, GroupOptions
from stepbench.scheduling.player import Limits, Player
from stepbench.scheduling.rounds import ROUNDS_OF_RUNS
from stepbench_reports.schema.run import SamplingOptions
from stepbench_reports.schema.status import Status
from stepbench_reports.schema.stop_reason import StopReason
from support.fake_players import generator

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux"),
    pytest.mark.usefixtures("forked_servers"),
]

PATIENT = Limits(600.0, lambda _: None)
CORES = tuple(usable_cores())
SAMPLING = SamplingOptions(max_time_s=0.4)


class Company:
    """Starts players of one tiny workload, and keeps them.

    Args:
        server: Starts their processes.
        workload: The workload.
        cache: A directory.
    """

    def __init__(self, server: ForkServer, workload: Path, cache: Path) -> None:
        self._server = server
        self._workload = workload
        self._cache = cache
        self.limits = PATIENT
        self.players: dict[str, Player[PlayerFacts]] = {}
        self.pids: list[int] = []

    def start(self, name: str) -> Player[PlayerFacts]:
        """Starts a player."""
        case = Case(workload=f"{self._workload}:make", batch_size=8)
        job = Job(PLAY, (Request(case, SAMPLING, self._cache),))
        player = Player[PlayerFacts](self._server, job, self.limits)
        self.players[name] = player
        self.pids.append(player.pid)
        return player


@pytest.fixture
def company(tmp_path: Path, tiny: Callable[..., Path]) -> Iterator[Company]:
    workload = tiny()
    server = ForkServer(("stepbench.measurement.player",), sys.path, tmp_path)
    made = Company(server, workload, tmp_path / "cache")
    yield made
    assert not any(psutil.pid_exists(pid) and _runs(pid) for pid in made.pids)
    server.close()


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_player_that_dies_or_hangs_leaves_the_others_alone(company: Company) -> None:
    hasty = Limits(0.5, lambda _: None)

    def strike(activity: str) -> None:
        if activity != f"round {ROUNDS_OF_RUNS.min_rounds}":
            return
        os.kill(company.players["killed"].pid, signal.SIGKILL)
        os.kill(company.players["hung"].pid, signal.SIGSTOP)
        company.players["hung"]._limits = hasty

    names = ["first", "killed", "hung", "last"]
    plan = GenerationPlan(
        number=0, turns_s=0.1, steps=None, thorough=True, cores=tuple(usable_cores())
    )
    done: Played[str, PlayerFacts] = play(company.start, names, plan, generator(0), strike)
    assert {name: outcome.status for name, outcome in done.lost.items()} == {
        "killed": Status.CRASHED, "hung": Status.TIMEOUT,
    }  # fmt: skip
    assert "SIGKILL" in str(done.lost["killed"].reason)
    assert "--deadline" in str(done.lost["hung"].reason)
    assert set(done.facts) == {"first", "last"}
    for name in ("first", "last"):
        turns = [turn for turn in done.turns if turn.player == name]
        bare = [turn for turn in turns if turn.command.kind is TurnKind.BARE]
        assert len(bare) >= ROUNDS_OF_RUNS.min_rounds
        assert all(turn.result.elapsed_s > 0 for turn in turns)
        assert done.start_s[name] > 0
    # They were alive, and took turns, until they were struck.
    assert {turn.round for turn in done.turns if turn.player in {"killed", "hung"}} == {0}


SLOW = """
    class Slow(torch.nn.Linear):
        def forward(self, inputs):
            time.sleep(1.1)
            return super().forward(inputs)

    fast = make

    def make():
        workload = fast()
        return Workload(model=lambda: Slow(8, 2), dataset=Data, loss=workload.loss,
                        optimizer=workload.optimizer)
"""


def test_a_slow_case_is_no_silent_one(company: Company, tiny: Callable[..., Path]) -> None:
    tiny(more=SLOW)
    activities: list[str] = []
    company.limits = Limits(3.0, activities.append)
    plan = GenerationPlan(number=0, turns_s=6.0, steps=None, thorough=True, cores=CORES)
    began_s = time.perf_counter()
    done: Played[str, PlayerFacts] = play(company.start, ["a"], plan, generator(0), lambda _: None)
    assert time.perf_counter() - began_s > 9  # more than three times the silence
    assert done.lost == {}
    assert set(done.facts) == {"a"}
    assert {turn.command.kind for turn in done.turns} == set(TurnKind)
    assert "bare turn, step 1" in activities


def test_turns_of_a_stopped_process_tree_are_known_and_a_sleeping_loader_s_count(
    company: Company, tiny: Callable[..., Path]
) -> None:
    tiny(
        more="""
    def sleepily(self, index):
        time.sleep(0.002)
        return torch.full((8,), index / 64), index % 2

    Data.__getitem__ = sleepily
    """
    )
    ended = threading.Event()

    def stop_again_and_again() -> None:
        with contextlib.suppress(ProcessLookupError):  # the player has ended
            while not ended.wait(0.05):
                os.killpg(company.players["stopped"].pid, signal.SIGSTOP)
                time.sleep(0.2)
                os.killpg(company.players["stopped"].pid, signal.SIGCONT)

    thread = threading.Thread(target=stop_again_and_again)

    def strike(activity: str) -> None:
        if activity == "round 1":
            thread.start()

    plan = GenerationPlan(number=0, turns_s=0.5, steps=None, thorough=False, cores=CORES)
    names = ["sleeps", "stopped"]

    try:
        done: Played[str, PlayerFacts] = play(company.start, names, plan, generator(0), strike)
    finally:
        ended.set()
        thread.join()
    suspended = {
        name: {
            turn.result.machine_use.suspended
            for turn in done.turns
            if turn.player == name and turn.result.machine_use is not None
        }
        for name in names
    }
    assert "process stopped" in suspended["stopped"]
    assert suspended["sleeps"] == {None}


def test_a_turn_during_which_a_virtual_machine_was_migrated_is_known(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([Moment(0.0, 0.0, 0), Moment(2.0, 0.0, 0)])
    monkeypatch.setattr(standstill, "_moment", lambda: next(moments, Moment(2.0, 0.0, 0)))
    plan = GenerationPlan(number=0, turns_s=0.1, steps=5, thorough=False, cores=CORES)
    done: Played[str, PlayerFacts] = play(company.start, ["a"], plan, generator(0), lambda _: None)
    suspended = [
        turn.result.machine_use.suspended
        for turn in done.turns
        if turn.result.machine_use is not None
    ]
    assert suspended == ["machine stood still", *[None] * (len(suspended) - 1)]


def test_two_cases_are_sampled_in_generations(company: Company) -> None:
    seen: list[tuple[int, int]] = []
    group = Group(("a", "b"), company.start, lambda _: [[0.0, 0.0]])
    options = GroupOptions(generations=2, turns_s=0.1, steps=None, rel_error=0.5, player_s=600.0)
    stopped = group.play(options, lambda _: None, lambda all_, left: seen.append((len(all_), left)))
    assert stopped is StopReason.PRECISE
    assert seen == [(1, 1), (2, 0)]
    assert len(set(company.pids)) == 4


def test_a_workload_that_fails_says_why(company: Company, tiny: Callable[..., Path]) -> None:
    tiny(more="def make():\n    raise ValueError('no such thing')\n")
    plan = GenerationPlan(
        number=0, turns_s=0.1, steps=3, thorough=True, cores=tuple(usable_cores())
    )
    done: Played[str, PlayerFacts] = play(company.start, ["a"], plan, generator(0), lambda _: None)
    assert "no such thing" in str(done.lost["a"].reason)
