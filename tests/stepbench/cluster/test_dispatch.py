from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stepbench.cluster import dispatch
from stepbench.cluster.dispatch import Board, Dispatch, JobEnd
from stepbench.cluster.engine import EngineError, JobPhase, JobSpec, JobState, Node
from stepbench.cluster.job_files import JobFiles
from stepbench_reports.schema.cluster import JobEnding, JobStart

RUNNING = JobState(JobPhase.RUNNING, "n1")
QUEUED = JobState(JobPhase.QUEUED)
ENDED = JobState(JobPhase.ENDED, "n1")


class ScriptedEngine:
    """Reports the states of a script, one look after another; the last ones again and again."""

    name = "scripted"

    def __init__(self, *looks: Mapping[int, JobState] | EngineError) -> None:
        self._looks = list(looks)

    def nodes(self) -> tuple[Node, ...]:
        return (Node("n1"),)

    def submit(self, jobs: Sequence[JobSpec]) -> None:
        self.submitted = [job.number for job in jobs]

    def states(self) -> Mapping[int, JobState]:
        look = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        if isinstance(look, EngineError):
            raise look
        return look

    def cancel(self) -> None: ...

    def close(self) -> None: ...


class Clock:
    """A clock that only sleep advances."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def files(tmp_path: Path) -> JobFiles:
    (tmp_path / "jobs").mkdir()
    return JobFiles(tmp_path)


def follow(
    files: JobFiles, engine: ScriptedEngine, *numbers: int
) -> tuple[list[JobEnd], list[Board], Clock]:
    """The ends of jobs, the boards that were shown, and the clock at the end."""
    clock = Clock()
    jobs = [JobSpec(number, ("true",), files.path, files.log(number)) for number in numbers]
    boards: list[Board] = []
    ends = list(Dispatch(engine, files, jobs, clock, clock.sleep).run(boards.append))
    assert engine.submitted == list(numbers)
    return ends, boards, clock


def start(files: JobFiles, number: int, node: str) -> None:
    files.write_start(number, JobStart(node=node, host="host", began=datetime.now(UTC)))


def test_a_job_is_done_once_it_says_so(files: JobFiles) -> None:
    start(files, 1, "n7")
    files.write_outcome(1, JobEnding.DONE)
    ends, boards, _ = follow(files, ScriptedEngine({1: RUNNING}), 1)
    assert ends == [JobEnd(1, "n7")]
    assert boards[-1] == Board(0, {}, done=1, failed=0)


def test_the_board_counts_and_says_where_jobs_run(files: JobFiles) -> None:
    start(files, 2, "n7")
    lost = JobState(JobPhase.ENDED, "n1", "lost its node")
    engine = ScriptedEngine(
        {1: QUEUED, 2: QUEUED, 3: RUNNING}, {1: lost, 2: lost, 3: lost}
    )  # an engine may not know that a job runs; the job itself says it
    ends, boards, _ = follow(files, engine, 1, 2, 3)
    assert boards[0] == Board(1, {2: "n7", 3: "n1"}, 0, 0)
    assert boards[-1] == Board(0, {}, 0, 3)
    assert [(end.number, end.node, end.lost) for end in ends] == [
        (1, "n1", True), (2, "n7", True), (3, "n1", True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "reason", "state", "told"),
    [
        (JobEnding.REFUSED, "torch differs", ENDED, "was refused: torch differs"),
        (JobEnding.FAILED, "the disk is full", ENDED, "failed: the disk is full"),
        (JobEnding.INTERRUPTED, "was interrupted", RUNNING, "was interrupted"),
    ],
)
def test_a_job_says_why_it_did_not_measure(
    files: JobFiles, ending: JobEnding, reason: str, state: JobState, told: str
) -> None:
    files.write_outcome(1, ending, reason)
    ends, _, _ = follow(files, ScriptedEngine({1: state}), 1)
    assert [end.reason for end in ends] == [told]


def test_the_engine_knows_why_a_job_was_interrupted(files: JobFiles) -> None:
    files.write_outcome(1, JobEnding.INTERRUPTED, "was interrupted")
    preempted = JobState(JobPhase.ENDED, "n1", "was preempted")
    ends, _, _ = follow(files, ScriptedEngine({1: RUNNING}, {1: RUNNING}, {1: preempted}), 1)
    assert ends == [JobEnd(1, "n1", "was preempted")]


def test_a_job_that_ends_in_order_has_time_for_its_outcome_to_become_visible(
    files: JobFiles,
) -> None:
    ends, _, clock = follow(files, ScriptedEngine({1: ENDED}), 1)
    assert ends == [JobEnd(1, "n1", "ended without a result", lost=True)]
    assert clock.now_s >= dispatch.GRACE_S


def test_an_engine_that_does_not_answer_for_a_while_loses_nothing(files: JobFiles) -> None:
    away = EngineError("nobody answers")
    engine = ScriptedEngine({1: RUNNING}, away, away, {1: JobState(JobPhase.ENDED, "n1", "failed")})
    ends, boards, _ = follow(files, engine, 1)
    assert [end.reason for end in ends] == ["failed"]
    assert [board.waiting for board in boards] == [None, "nobody answers", "nobody answers", None]


def test_an_engine_that_never_answers_again_is_given_up(files: JobFiles) -> None:
    files.write_outcome(2, JobEnding.DONE)  # its files can still be seen
    engine = ScriptedEngine({1: RUNNING, 2: RUNNING}, EngineError("nobody answers"))
    ends, _, clock = follow(files, engine, 1, 2)
    assert [(end.number, end.lost) for end in ends] == [(2, False), (1, True)]
    assert "nobody answers" in (ends[1].reason or "")
    assert clock.now_s > dispatch.PATIENCE_S


def test_a_cancelled_job_that_had_done_its_work_is_done(files: JobFiles) -> None:
    files.write_outcome(2, JobEnding.DONE)
    files.write_outcome(3, JobEnding.INTERRUPTED, "was interrupted")
    made = Dispatch(ScriptedEngine({}), files, [])
    reasons = {end.number: (end.reason, end.lost) for end in made.remaining([1, 2, 3])}
    assert reasons == {1: ("was cancelled", True), 2: (None, False), 3: ("was cancelled", False)}


def test_looks_become_rarer_with_more_jobs(files: JobFiles) -> None:
    few = follow(files, ScriptedEngine({1: RUNNING}, {1: JobState(JobPhase.ENDED, None, "x")}), 1)
    numbers = range(1, 10_001)
    ended = dict.fromkeys(numbers, JobState(JobPhase.ENDED, None, "x"))
    many = follow(files, ScriptedEngine({}, ended), *numbers)
    assert few[2].now_s == dispatch.MIN_POLL_S
    assert many[2].now_s == dispatch.MAX_POLL_S
