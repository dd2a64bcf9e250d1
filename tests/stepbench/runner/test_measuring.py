from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stepbench.config.case import Case
from stepbench.config.turns import TakeTurn, TurnKind, TurnResult
from stepbench.process.job import Outcome
from stepbench.runner import measuring
from stepbench.scheduling import generation, group
from stepbench.scheduling.grouping import MAX_PLAYERS
from stepbench.scheduling.player import PlayerLostError
from stepbench_reports.schema.results import MeasurementRecord
from stepbench_reports.schema.status import Status
from stepbench_reports.schema.stop_reason import StopReason
from support.measuring_bench import Bench

A, B, C, D = (Case(workload="net", batch_size=size) for size in (2, 4, 8, 16))
COMPILED = A.changed(compile="default")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path)
    monkeypatch.setattr(measuring, "Player", lambda _, job, __: made.stage.start(*job.arguments))
    for module in (generation, group):
        monkeypatch.setattr(module, "time", made.stage)
    monkeypatch.setattr(group, "limit_bytes", lambda: made.room)
    monkeypatch.setattr(generation, "tree_bytes", lambda pids: len(list(pids)))
    return made


def groups_of(record: MeasurementRecord) -> list[tuple[int, int]]:
    """The groups and generations in which a case took turns."""
    assert record.findings is not None
    return list(dict.fromkeys((turn.group, turn.generation) for turn in record.findings.turns))


def test_the_cases_of_a_group_are_measured_together(bench: Bench) -> None:
    measurer = bench.measurer()
    done = dict(measurer.measure([A, B]))
    assert list(done) == [A, B]
    assert measurer.count == 2
    for case in (A, B):
        record = done[case]
        assert record.status is Status.OK
        assert groups_of(record) == [(0, 0), (0, 1)]
        assert record.findings is not None
        assert record.findings.sampling.stopped == "precise"
        assert record.start_s == 0.25
        assert record.left_behind == {"sleep": 2}
        assert record == bench.files.history(case)[-1] == measurer.measured(case)
    # Both took turns, so each has half of the time.
    assert sum(record.elapsed_s for record in done.values()) == pytest.approx(bench.stage.now_s)
    assert bench.left == [1, 0]


def test_after_each_generation_partial_records_are_written(bench: Bench) -> None:
    list(bench.measurer().measure([A, B]))
    for case in (A, B):
        records = bench.files.history(case)
        stopped = [r.findings.sampling.stopped for r in records if r.findings is not None]
        assert stopped == [StopReason.INTERRUPTED, StopReason.INTERRUPTED, "precise"]
        assert [len(groups_of(record)) for record in records] == [1, 2, 2]


def interrupted(bench: Bench, cases: list[Case]) -> None:
    """Ctrl-C during the second generation of a group."""
    usual = bench.stage.result

    def result(case: Case, command: TakeTurn) -> TurnResult:
        if bench.left:
            raise KeyboardInterrupt
        answer: TurnResult = usual(case, command)
        return answer

    bench.stage.result = result
    with pytest.raises(KeyboardInterrupt):
        list(bench.measurer().measure(cases))
    bench.stage.result = usual
    bench.left.clear()


def test_what_was_interrupted_is_measured_again_in_a_group_of_its_own(bench: Bench) -> None:
    interrupted(bench, [A, B])
    assert groups_of(bench.files.history(A)[-1]) == [(0, 0)]
    resumed = bench.measurer()
    resumed.adopt([A, B])
    assert resumed.count == 0
    # Only A is asked for: B's turns of group 0 were taken beside other ones of A.
    (measured,) = dict(resumed.measure([A])).values()
    assert groups_of(measured) == [(1, 0), (1, 1)]


def test_group_numbers_continue_when_a_run_is_resumed(bench: Bench) -> None:
    measurer = bench.measurer()
    list(measurer.measure([A, B]))
    list(measurer.measure([C]))
    resumed = bench.measurer()
    resumed.adopt([A, B, C, D])
    assert [resumed.measured(case) is not None for case in (A, B, C, D)] == [True] * 3 + [False]
    (measured,) = dict(resumed.measure([D])).values()
    assert groups_of(measured) == [(2, 0), (2, 1)]


def test_a_failed_case_is_not_adopted(bench: Bench) -> None:
    bench.stage.fail = {(B, "bare"): Status.CRASHED}
    list(bench.measurer().measure([A, B]))
    resumed = bench.measurer()
    resumed.adopt([A, B])
    assert resumed.measured(A) is not None
    assert resumed.measured(B) is None


@pytest.mark.parametrize("event", ["prepare", "lapped", "finish"])
def test_a_case_that_fails_leaves_the_others_alone(bench: Bench, event: str) -> None:
    bench.stage.fail = {(B, event): Status.TIMEOUT}
    done = dict(bench.measurer().measure([A, B, C]))
    assert {case: record.status for case, record in done.items()} == {
        A: Status.OK, B: Status.TIMEOUT, C: Status.OK,
    }  # fmt: skip
    assert done[B].findings is None
    assert done[B].reason is not None
    assert groups_of(done[C]) == [(0, 0), (0, 1)]


@pytest.mark.parametrize("event", ["prepare", "lapped", "finish"])
def test_a_case_that_is_silent_in_a_later_generation_keeps_those_before(
    bench: Bench, event: str
) -> None:
    done = measured_with_a_loss(bench, event, Status.TIMEOUT)
    assert {case: record.status for case, record in done.items()} == {A: Status.OK, B: Status.OK}
    assert groups_of(done[B]) == [(0, 0), (0, 1)]
    assert groups_of(done[A]) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert [stopped_of(done[case]) for case in (A, B)] == ["generations", "silent"]
    assert bench.files.history(B)[-1] == done[B]


@pytest.mark.parametrize("status", [Status.CRASHED, Status.OOM, Status.ERROR])
def test_a_case_that_fails_in_a_later_generation_has_no_figures(
    bench: Bench, status: Status
) -> None:
    # Alone, since one that runs out of memory beside others plays again later.
    (record,) = measured_with_a_loss(bench, "bare", status, [B]).values()
    assert (record.status, record.findings) == (status, None)
    assert str(record.reason).endswith("; in generation 3, not in those before")


def measured_with_a_loss(
    bench: Bench, event: str, status: Status, cases: Sequence[Case] = (A, B)
) -> dict[Case, MeasurementRecord]:
    """The measurements of cases, of which B is lost in the third generation."""
    usual = bench.stage.start

    def start(case: Case) -> Any:
        if len(bench.left) == 2:
            bench.stage.fail = {(B, event): status}
        return usual(case)

    bench.stage.start = start
    return dict(bench.measurer(generations=4).measure(cases))


def stopped_of(record: MeasurementRecord) -> str | None:
    """Why the sampling of a case ended."""
    return None if record.findings is None else record.findings.sampling.stopped


def test_a_number_of_steps_is_taken_once(bench: Bench) -> None:
    (record,) = dict(bench.measurer(steps=70).measure([A])).values()
    assert record.findings is not None
    assert record.findings.sampling.stopped == "steps"
    assert len(record.findings.laps.host["step"]) == 70
    assert bench.left == [0]


def test_a_case_with_nothing_to_be_compared_with_has_the_first_stage_only(bench: Bench) -> None:
    (record,) = dict(bench.measurer(generations=3, rel_error=1e-9).measure([A])).values()
    assert record.findings is not None
    assert record.findings.sampling.stopped == "generations"
    assert groups_of(record) == [(0, 0), (0, 1), (0, 2)]


# --- cases that find no place beside others ------------------------------------------------------


def test_deferred_cases_play_with_the_first_case_which_links_them(bench: Bench) -> None:
    bench.room = 2
    measurer = bench.measurer()
    done = list(measurer.measure([A, B, C, D]))
    assert [case for case, _ in done] == [A, B, C, D]
    final = {case: bench.files.history(case)[-1] for case in (A, B, C, D)}
    assert groups_of(final[B]) == [(0, 0), (0, 1)]
    assert groups_of(final[C]) == [(1, 0), (1, 1)]
    assert groups_of(final[D]) == [(2, 0), (2, 1)]
    assert groups_of(final[A]) == [(number, index) for number in range(3) for index in range(2)]
    assert final[A] == measurer.measured(A)
    found = final[A].findings
    assert found is not None
    assert found.sampling.stopped == "precise"
    assert sum(record.elapsed_s for record in final.values()) == pytest.approx(bench.stage.now_s)
    resumed = bench.measurer()
    resumed.adopt([A, B, C, D])
    assert resumed.count == 4


def test_a_link_that_is_lost_later_keeps_what_it_had(bench: Bench) -> None:
    bench.room = 2
    usual = bench.stage.start

    def start(case: Case) -> Any:
        if len(bench.left) == 2:  # the first generation of the second group
            bench.stage.fail = {(A, "bare"): Status.CRASHED}
        return usual(case)

    bench.stage.start = start
    measurer = bench.measurer()
    done = dict(measurer.measure([A, B, C, D]))
    assert {record.status for record in done.values()} == {Status.OK}
    record = measurer.measured(A)
    assert record is not None
    assert record.status is Status.OK
    assert groups_of(record) == [(0, 0), (0, 1)]
    # C, which played beside it, links from now on.
    linked = measurer.measured(C)
    assert linked is not None
    assert {number for number, _ in groups_of(linked)} == {1, 2}


def test_cases_that_find_no_place_beside_the_link_are_measured_alone(bench: Bench) -> None:
    bench.room = 1
    measurer = bench.measurer()
    done = dict(measurer.measure([A, B, C]))
    assert {record.status for record in done.values()} == {Status.OK}
    assert {number for number, _ in groups_of(done[B])} == {2}
    assert {number for number, _ in groups_of(done[C])} == {3}


def groups(bench: Bench, case: Case) -> set[int]:
    """The groups of the turns in a case's last record."""
    return {number for number, _ in groups_of(bench.files.history(case)[-1])}


def test_the_first_eager_case_links_wherever_it_stands(bench: Bench) -> None:
    bench.room = 3
    list(bench.measurer().measure([COMPILED, A, B, C]))
    assert [groups(bench, case) for case in (A, COMPILED, B, C)] == [{0, 1}, {0}, {0}, {1}]


def test_variants_of_a_case_without_a_place_are_measured_again_beside_it(bench: Bench) -> None:
    bench.room = 3
    variant = B.changed(compile="default")
    list(bench.measurer().measure([A, C, B, variant]))
    assert [groups(bench, case) for case in (A, C, B, variant)] == [{0, 1}, {0}, {0, 1}, {1}]


def test_more_cases_than_a_group_holds_are_linked(bench: Bench) -> None:
    cases = [Case(workload="net", batch_size=size) for size in range(2, MAX_PLAYERS + 4)]
    list(bench.measurer().measure(cases))
    assert groups(bench, cases[0]) == {0, 1}
    assert [groups(bench, case) for case in cases[1:MAX_PLAYERS]] == [{0}] * (MAX_PLAYERS - 1)
    assert [groups(bench, case) for case in cases[MAX_PLAYERS:]] == [{1}] * 2
    assert bench.waiting == [2, 2, 0, 0]


def short_of_memory(bench: Bench, case: Case, *beside: Case) -> None:
    """Has a case run out of memory in each bare turn that it takes beside others."""
    usual = bench.stage.result

    def result(player: Case, command: TakeTurn) -> TurnResult:
        if player == case and command.kind is TurnKind.BARE and bench.stage.alive & {*beside}:
            raise PlayerLostError(Outcome(Status.OOM))
        answer: TurnResult = usual(player, command)
        return answer

    bench.stage.result = result


def test_a_case_that_runs_out_of_memory_beside_one_is_measured_beside_others(
    bench: Bench,
) -> None:
    short_of_memory(bench, B, C)
    done = dict(bench.measurer().measure([A, B, C]))
    assert {record.status for record in done.values()} == {Status.OK}
    assert [groups(bench, case) for case in (A, B, C)] == [{0, 1}, {1}, {0}]


def test_a_case_that_runs_out_of_memory_beside_all_others_is_measured_alone(
    bench: Bench,
) -> None:
    short_of_memory(bench, B, A, C)
    done = dict(bench.measurer().measure([A, B, C]))
    assert {record.status for record in done.values()} == {Status.OK}
    assert groups_of(done[B]) == [(2, 0), (2, 1)]
    assert bench.waiting == [1, 1, 1, 1, 0, 0]


def test_a_link_that_runs_out_of_memory_beside_others_is_replaced(bench: Bench) -> None:
    short_of_memory(bench, A, C)
    done = dict(bench.measurer().measure([A, B, C]))
    assert {record.status for record in done.values()} == {Status.OK}
    assert [groups(bench, case) for case in (A, B, C)] == [{1}, {0, 1}, {0}]


def test_a_case_that_is_out_of_memory_even_alone_says_so(bench: Bench) -> None:
    bench.stage.fail = {(B, "prepare"): Status.OOM}
    done = dict(bench.measurer().measure([A, B]))
    assert done[A].status is Status.OK
    assert done[B].status is Status.OOM


# --- compiling with an empty cache ---------------------------------------------------------------


def test_a_compiled_case_has_the_cost_of_its_first_compilation(bench: Bench) -> None:
    list(bench.measurer().measure([A, COMPILED, COMPILED.changed(num_workers=2)]))
    assert bench.ran == ["compile_cold"]  # both compile to the same code
    assert bench.compilations == 1


def test_a_case_that_cannot_be_compiled_is_not_started(bench: Bench) -> None:
    bench.cold = Outcome(Status.UNSUPPORTED, reason="no compiler", axis="compile")
    done = list(bench.measurer().measure([A, COMPILED]))
    assert [(case, record.status) for case, record in done] == [
        (COMPILED, Status.UNSUPPORTED), (A, Status.OK),
    ]  # fmt: skip
    assert COMPILED not in {name for name, _ in bench.stage.events}


def test_if_no_case_can_be_compiled_no_group_begins(bench: Bench) -> None:
    bench.cold = Outcome(Status.ERROR, reason="broken")
    done = list(bench.measurer().measure([COMPILED]))
    assert [record.status for _, record in done] == [Status.ERROR]
    assert bench.stage.events == []


@pytest.mark.parametrize(("accumulate", "functions"), [(1, ["compile_cold"]), (2, [])])
def test_a_case_that_will_be_refused_is_not_compiled_first(
    bench: Bench, accumulate: int, functions: list[str]
) -> None:
    case = Case(workload="net", device="cuda", compile="reduce-overhead", accumulate=accumulate)
    bench.stage.fail = {(case, "prepare"): Status.UNSUPPORTED}
    (record,) = dict(bench.measurer().measure([case])).values()
    assert record.status is Status.UNSUPPORTED
    assert bench.ran == functions
