from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stepbench.config.case import Case
from stepbench.config.turns import TakeTurn, TurnKind, TurnResult
from stepbench.process.job import Job, Outcome
from stepbench.runner import measuring
from stepbench.runner.measuring import CaseMeasurer
from stepbench.scheduling import generation, group
from stepbench_reports.schema.compilation import ColdStart
from stepbench_reports.schema.measurement import INTERRUPTED
from stepbench_reports.schema.results import MeasurementRecord
from stepbench_reports.schema.run import SamplingOptions
from stepbench_reports.schema.status import Status
from support import played
from support.fake_players import Stage

A, B, C, D = (Case(workload="net", batch_size=size) for size in (2, 4, 8, 16))
COMPILED = A.changed(compile="default")


class Files:
    """A run's directory in memory, which keeps all records that were ever written."""

    def __init__(self) -> None:
        self.written: list[MeasurementRecord] = []

    def write(self, record: MeasurementRecord) -> None:
        self.written.append(record)

    def read(self, _: Any, case: Case) -> MeasurementRecord | None:
        return self.history(case)[-1] if self.history(case) else None

    def history(self, case: Case) -> list[MeasurementRecord]:
        return [record for record in self.written if record.id == case.id]


class Bench:
    """What a measurer needs, without processes.

    Attributes:
        stage: The stage of the players.
        files: The run's directory.
        ran: The functions of the jobs that were run.
        cold: The outcome of compiling with an empty cache.
        left: The number of generations to come, after each generation.
        room: The number of players that memory has room for; more than any.
    """

    def __init__(self, tmp_path: Path) -> None:
        stage: Any = Stage()
        self.stage = stage
        self.stage.result = self._result
        self.files = Files()
        self.ran: list[str] = []
        self.cold = Outcome(Status.OK, ColdStart(compile_s=3.0, first_step_s=4.0))
        self.left: list[int] = []
        self.room = 100
        self._tmp_path = tmp_path

    def measurer(self, **sampling: Any) -> CaseMeasurer:
        """A measurer of a run that begins or is resumed."""
        given = {"generations": 2, "max_time_s": 100.0, **sampling}
        jobs: Any = SimpleNamespace(
            request=lambda case: case,
            compile_cache=lambda case: self._tmp_path / case.compile_key.id,
            run=self._run,
            server=None,
            on_progress=lambda _: None,
            directory=self.files,
            options=SimpleNamespace(
                sampling=SamplingOptions(**given), memory_limit_bytes=None, deadline_s=9.0
            ),
        )
        return CaseMeasurer(jobs, lambda _, left: self.left.append(left))

    def _run(self, job: Job) -> Outcome:
        self.ran.append(job.function.rpartition(":")[2])
        return self.cold

    def _result(self, _: Case, command: TakeTurn) -> TurnResult:
        steps = command.steps
        host = played.laps([0.001] * steps, dataload=[0.0] * steps)
        return TurnResult(
            0.001 * steps,
            host=None if command.kind is TurnKind.BARE else host,
            machine_use=played.use(),
            samples=1 if command.kind is TurnKind.TINY else 0,
        )


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
        assert record == bench.files.history(case)[-1] == measurer.measured(case)
    # Both took turns, so each has half of the time.
    assert sum(record.elapsed_s for record in done.values()) == pytest.approx(bench.stage.now_s)
    assert bench.left == [1, 0]


def test_after_each_generation_partial_records_are_written(bench: Bench) -> None:
    list(bench.measurer().measure([A, B]))
    for case in (A, B):
        records = bench.files.history(case)
        stopped = [r.findings.sampling.stopped for r in records if r.findings is not None]
        assert stopped == [INTERRUPTED, INTERRUPTED, "precise"]
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


def test_a_number_of_steps_is_taken_once(bench: Bench) -> None:
    (record,) = dict(bench.measurer(steps=70).measure([A])).values()
    assert record.findings is not None
    assert record.findings.sampling.stopped == "steps"
    assert len(record.findings.laps.host["step"]) == 70
    assert bench.left == [0]


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


def test_a_case_that_is_out_of_memory_even_alone_says_so(bench: Bench) -> None:
    bench.stage.fail = {(B, "prepare"): Status.OOM}
    done = dict(bench.measurer().measure([A, B]))
    assert done[A].status is Status.OK
    assert done[B].status is Status.OOM


# --- compiling with an empty cache ---------------------------------------------------------------


def test_a_compiled_case_has_the_cost_of_its_first_compilation(bench: Bench) -> None:
    list(bench.measurer().measure([A, COMPILED, COMPILED.changed(num_workers=2)]))
    assert bench.ran == ["compile_cold"]  # both compile to the same code


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
