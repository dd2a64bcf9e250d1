"""Which pairs a check takes, and when it ends, with made-up pairs of servers without processes."""

import io
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from stepbench.config.case import Case
from stepbench.config.turns import TakeTurn, TurnKind, TurnResult
from stepbench.regression import directory, options, pairs
from stepbench.regression.comparison import Comparison
from stepbench.regression.pair import PlayedPair
from stepbench.regression.pairs import EXTRA_PAIRS, PairTaker
from stepbench.regression.progress import CheckProgress
from stepbench.regression.servers import ROUNDS_PER_SERVER, SERVERS, PairServer, ServerPool
from stepbench.regression.sides import Side, Sides
from stepbench.regression.tree import Tree
from stepbench.scheduling.generation import Played
from stepbench.scheduling.rounds import TakenTurn
from stepbench_reports import regression
from stepbench_reports.regression.screening import Screening
from stepbench_reports.schema.check import (
    SIDES,
    FailedPairLine,
    PairLine,
    ScreenedFact,
    SideEnd,
    SideName,
)
from stepbench_reports.schema.end_reason import EndReason
from support import played
from support import synthetic_check as made

BUDGET_S = 600.0
CASES = {
    case.id: case
    for case in (
        Case(workload="convnet", batch_size=size, num_workers=0, device="cpu")
        for size in (32, 4, 8)
    )
}
THIRD = "convnet-cpu-b8-w0-off-fp32"
assert {*CASES} == {made.CASE, made.OTHER, THIRD}


class FakeServer:
    """A server without a process."""

    def __init__(self, started: list["FakeServer"]) -> None:
        self.closed = False
        started.append(self)

    def wait_until_ready(self) -> None:
        """Is ready at once."""

    def close(self) -> None:
        """Notes the end."""
        self.closed = True


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[FakeServer]:
    """The servers that were started."""
    servers: list[FakeServer] = []
    monkeypatch.setattr(Comparison, "server", lambda *_: FakeServer(servers))
    return servers


@pytest.fixture
def comparison(tmp_path: Path) -> Iterator[Comparison]:
    def side(name: SideName) -> Side:
        return Side(Tree(name, tmp_path, tmp_path, Path()), None, name, Path(sys.executable))

    check_options = options.read({"stepbench_base": "main"}, tmp_path)
    sides = Sides(side("base"), side("head"), None, (), same_files=True)
    with directory.created(tmp_path / "check") as check_directory:
        yield Comparison(check_options, sides, check_directory)


def pair_of(change: float) -> PlayedPair:
    """A pair whose head is slower in forward by a share of the step."""
    turns = []
    for side in ("base", "head", "head", "base"):
        forward_s = 0.01 * (0.5 + (change if side == "head" else 0.0))
        laps = {"step": [0.005 + forward_s], "forward": [forward_s], "backward": [0.005]}
        result = TurnResult(laps["step"][0], laps, machine_use=played.use(), run_delay_s=0.0)
        turns.append(TakenTurn[SideName](side, 0, TakeTurn(TurnKind.LAPPED, 1), result))
    ended = {side: SideEnd(host_peak_bytes=2**28) for side in SIDES}
    return Played(0, {}, tuple(turns), ended, {}, (), {}, 0.1)


class Run:
    """Takes the pairs of a check with made-up changes.

    Args:
        comparison: The comparison.
        monkeypatch: Replaces the pairs.
    """

    def __init__(self, comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
        self._comparison = comparison
        self.changes: Callable[[int], float] = lambda _: 0.0
        self.output = io.StringIO()
        self.servers: list[int] = []
        self.left_s = BUDGET_S
        self.pairs_s: dict[str, float] = {}
        self.deferred_beside_each_other = False
        self.together: list[bool] = []
        monkeypatch.setattr(pairs, "pair", self._pair)

    def _pair(self, _: Comparison, server: PairServer, *__: Any, together: bool) -> PlayedPair:
        self.together.append(together)
        if together and self.deferred_beside_each_other:
            return Played(0, {}, (), {}, {}, ("head",), {}, 0.1)
        self.servers.append(server.number)
        return pair_of(self.changes(len(self.servers)))

    def take(
        self,
        recorded: Iterable[PairLine | FailedPairLine] = (),
        cases: tuple[str, ...] = (made.CASE,),
    ) -> EndReason:
        """Takes pairs after recorded ones; returns why it ended."""
        self._comparison.directory.write_spec(made.spec(cases))
        for line in recorded:
            self._comparison.directory.add_pair(line)
        console = Console(file=self.output, width=200)
        progress = CheckProgress(console, BUDGET_S, time.monotonic() + self.left_s)
        for case, seconds in self.pairs_s.items():
            progress.add_pair_time(case, seconds)
        taker = PairTaker(self._comparison, progress, CASES)
        pool = ServerPool(self._comparison, (), taker.next_server)
        try:
            reason, fatal = taker.take(pool)
        finally:
            pool.close()
        assert fatal is None
        return reason

    @property
    def check(self) -> regression.Check:
        """The check's records."""
        return regression.load(self._comparison.directory.path)


@pytest.fixture
def run(
    comparison: Comparison, started: list[FakeServer], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    yield Run(comparison, monkeypatch)
    assert all(server.closed for server in started)


def test_identical_sides_take_pairs_of_all_cases_from_servers_in_rotation(run: Run) -> None:
    assert run.take(cases=(made.CASE, made.OTHER)) == EndReason.DONE
    assert run.servers == [1, 1, 2, 2, 3, 3] * 2
    taken = run.check.pairs
    assert [pair.case for pair in taken] == [made.CASE, made.OTHER] * 6
    assert [pair.round for pair in taken] == [n for n in range(1, 7) for _ in range(2)]
    assert [pair.server for pair in taken] == run.servers


def test_a_slowdown_is_confirmed_and_a_server_is_replaced_after_its_rounds(run: Run) -> None:
    run.changes = lambda number: 0.1 + 1e-4 * number
    assert run.take() == EndReason.DONE
    assert {pair.stage for pair in run.check.pairs} == {"screen", "confirm"}
    first = SERVERS * ROUNDS_PER_SERVER
    assert run.servers[:first] == [1, 2, 3] * ROUNDS_PER_SERVER
    assert run.servers[first:] == [*range(SERVERS + 1, SERVERS + 1 + len(run.servers) - first)]


def test_servers_that_differ_are_used_once_from_then_on(run: Run) -> None:
    servers = [1, 2, 3, 1, 2, 3]
    offsets = {1: -0.2, 2: 0.0, 3: 0.2}
    recorded = [
        made.entry(number, {"forward": offsets[server] + 1e-4 * number}, server=server)
        for number, server in enumerate(servers, start=1)
    ]
    run.changes = lambda number: (-1) ** number * 0.001
    run.take(recorded)
    assert len(set(run.servers)) == len(run.servers) > 0
    assert not {*run.servers} & {1, 2, 3}


@pytest.mark.parametrize("lacking", [EXTRA_PAIRS, EXTRA_PAIRS + 1])
def test_a_confirmation_goes_on_by_the_few_pairs_that_it_lacks(run: Run, lacking: int) -> None:
    slow = made.entries(6, 0.1)
    needed = max(Screening(_written(run, slow)).to_confirm.values())
    fresh = made.entries(needed - lacking, 0.1, first=7, stage="confirm")
    run.left_s = 0.0
    ends_in_time = lacking <= EXTRA_PAIRS
    assert run.take(fresh) == (EndReason.DONE if ends_in_time else EndReason.BUDGET)
    assert len(run.servers) == (lacking if ends_in_time else 0)


def _written(
    run: Run, lines: Iterable[PairLine], cases: tuple[str, ...] = (made.CASE,)
) -> regression.Check:
    run._comparison.directory.write_spec(made.spec(cases))
    for line in lines:
        run._comparison.directory.add_pair(line)
    return run.check


def test_a_check_in_which_nothing_can_be_decided_ends_early(run: Run) -> None:
    run.pairs_s = {made.CASE: BUDGET_S / 4}
    assert run.take() is EndReason.EARLY
    assert run.servers == []
    assert "the check ends early" in run.output.getvalue()
    assert "--budget" in run.output.getvalue()


def test_screening_ends_while_there_is_time_to_confirm(run: Run) -> None:
    run.left_s, run.pairs_s = 50.0, {made.CASE: 10.0, made.OTHER: 10.0}
    run.changes = lambda number: 0.1 + 1e-4 * number
    recorded = [*made.entries(6, 0.1), *made.entries(2, case=made.OTHER)]
    run.take(recorded, (made.CASE, made.OTHER))
    assert [*run.check.facts_of(ScreenedFact)] == [ScreenedFact(pairs=8)]
    assert {pair.stage for pair in run.check.pairs[8:]} == {"confirm"}


def test_time_to_confirm_is_kept_back_before_a_round(run: Run) -> None:
    """A round of two pairs would leave less than the confirmation of the slow case needs."""
    cases = (made.CASE, made.OTHER, THIRD)
    recorded = [
        *made.entries(6, 0.1),
        *(pair for case in cases[1:] for pair in made.entries(2, case=case)),
    ]
    lacking = max(Screening(_written(run, recorded, cases)).to_confirm.values())
    run.left_s, run.pairs_s = lacking * 10.0 + 15.0, dict.fromkeys(cases, 10.0)
    run.changes = lambda number: 0.1 + 1e-4 * number
    assert run.take((), cases) is EndReason.DONE
    assert {pair.stage for pair in run.check.pairs[len(recorded) :]} == {"confirm"}


def test_what_looks_slower_is_confirmed_where_nothing_else_can_be_decided(run: Run) -> None:
    """The other case's pairs take so long that its screen cannot end."""
    recorded = [*made.entries(6, 0.1), *made.entries(2, case=made.OTHER)]
    run.pairs_s = {made.CASE: 1.0, made.OTHER: BUDGET_S / 4}
    run.changes = lambda number: 0.1 + 1e-4 * number
    assert run.take(recorded, (made.CASE, made.OTHER)) is EndReason.DONE
    assert {pair.stage for pair in run.check.pairs[8:]} == {"confirm"}
    assert "the check ends early" not in run.output.getvalue()


def test_screening_is_not_ended_where_there_is_no_time_to_confirm(run: Run) -> None:
    """So that a resumed check may go on with it."""
    recorded = [*made.entries(6, 0.1), *made.entries(2, case=made.OTHER)]
    run.pairs_s, run.left_s = {made.CASE: 100.0, made.OTHER: 100.0}, 50.0
    assert run.take(recorded, (made.CASE, made.OTHER)) is EndReason.BUDGET
    assert not [*run.check.facts_of(ScreenedFact)]
    run.pairs_s, run.left_s = {made.CASE: 1.0, made.OTHER: 1.0}, BUDGET_S
    run.changes = lambda number: 0.1 + 1e-4 * number
    assert run.take((), (made.CASE, made.OTHER)) is EndReason.DONE
    assert {pair.stage for pair in run.check.pairs} == {"screen", "confirm"}


def test_the_time_left_has_the_confirmation_in_it(run: Run) -> None:
    run.pairs_s = {made.CASE: 1.0, made.OTHER: 3.0}
    run.changes = lambda number: 0.1 + 1e-4 * number
    run.take(made.entries(5, 0.1), (made.CASE, made.OTHER))
    first = next(line for line in run.output.getvalue().splitlines() if "at least" in line)
    left = re.search(r"at least about (\d+) s left", first)
    assert left is not None
    assert int(left[1]) > 5 * 1.5  # five pairs of the other case, by the mean of two


def test_discarded_pairs_are_told_with_the_reason(run: Run) -> None:
    run.take(made.entries(2, interference=True))
    output = run.output.getvalue()
    assert "2 of 3 pairs discarded, since other processes or throttling slowed one side" in output


def test_a_case_without_room_for_both_sides_is_measured_one_at_a_time_from_then_on(
    run: Run,
) -> None:
    run.deferred_beside_each_other = True
    run.take()
    assert run.together == [True] + [False] * len(run.servers)
    assert not any(taken.together for taken in run.check.pairs)
    assert run.output.getvalue().count("no memory beside each other") == 1


def test_a_resumed_check_knows_the_cases_without_room_for_both_sides(run: Run) -> None:
    run.take([made.entry(1, together=False)])
    assert run.together
    assert not any(run.together)
