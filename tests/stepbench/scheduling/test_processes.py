"""Generations and groups of real processes."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.config.turns import TurnKind
from stepbench.interference.watch import usable_cores
from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job
from stepbench.runner.measuring import PLAY
from stepbench.scheduling.generation import MIN_ROUNDS, GenerationPlan, Played, play
from stepbench.scheduling.group import PRECISE, Group, GroupOptions
from stepbench.scheduling.player import Limits, Player
from stepbench_reports.schema.run import SamplingOptions
from stepbench_reports.schema.status import Status
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
        self.players: dict[str, Player] = {}
        self.pids: list[int] = []

    def start(self, name: str) -> Player:
        """Starts a player."""
        case = Case(workload=f"{self._workload}:make", batch_size=8)
        job = Job(PLAY, (Request(case, SAMPLING, self._cache),))
        player = Player(self._server, job, PATIENT)
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
        if activity != f"round {MIN_ROUNDS}":
            return
        os.kill(company.players["killed"].pid, signal.SIGKILL)
        os.kill(company.players["hung"].pid, signal.SIGSTOP)
        company.players["hung"]._limits = hasty

    names = ["first", "killed", "hung", "last"]
    plan = GenerationPlan(
        number=0, turns_s=0.1, steps=None, thorough=True, cores=tuple(usable_cores())
    )
    done: Played[str] = play(company.start, names, plan, generator(0), strike)
    assert {name: outcome.status for name, outcome in done.lost.items()} == {
        "killed": Status.CRASHED, "hung": Status.TIMEOUT,
    }  # fmt: skip
    assert "SIGKILL" in str(done.lost["killed"].reason)
    assert "--deadline" in str(done.lost["hung"].reason)
    assert set(done.facts) == {"first", "last"}
    for name in ("first", "last"):
        turns = [turn for turn in done.turns if turn.player == name]
        bare = [turn for turn in turns if turn.command.kind is TurnKind.BARE]
        assert len(bare) >= MIN_ROUNDS
        assert all(turn.result.elapsed_s > 0 for turn in turns)
        assert done.start_s[name] > 0
    # They were alive, and took turns, until they were struck.
    assert {turn.round for turn in done.turns if turn.player in {"killed", "hung"}} == {0}


def test_two_cases_are_sampled_in_generations(company: Company) -> None:
    seen: list[tuple[int, int]] = []
    group = Group(("a", "b"), company.start, lambda _: [[0.0, 0.0]])
    options = GroupOptions(generations=2, turns_s=0.1, steps=None, rel_error=0.5, max_s=600.0)
    stopped = group.play(options, lambda _: None, lambda all_, left: seen.append((len(all_), left)))
    assert stopped == PRECISE
    assert seen == [(1, 1), (2, 0)]
    assert len(set(company.pids)) == 4


def test_a_workload_that_fails_says_why(company: Company, tiny: Callable[..., Path]) -> None:
    tiny(more="def make():\n    raise ValueError('no such thing')\n")
    plan = GenerationPlan(
        number=0, turns_s=0.1, steps=3, thorough=True, cores=tuple(usable_cores())
    )
    done: Played[Any] = play(company.start, ["a"], plan, generator(0), lambda _: None)
    assert "no such thing" in str(done.lost["a"].reason)
