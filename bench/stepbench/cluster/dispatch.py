"""Follows the jobs of a run from their submission to their end, on any engine."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stepbench.cluster.engine import Engine, EngineError, JobPhase, JobSpec, JobState
from stepbench.cluster.job_files import JobFiles
from stepbench_reports.schema.cluster import JobEnding, JobOutcome

MIN_POLL_S, MAX_POLL_S = 0.5, 20.0
"""The shortest and the longest time between two looks at the jobs, seconds."""
JOBS_PER_POLL_S = 400
"""The number of jobs for which the time between two looks grows by a second."""
GRACE_S = 60.0
"""The time after the end of a job in order until its outcome must be visible, seconds. Network file
systems show a new file late."""
REASON_S = 20.0
"""The time after a job's word that it was interrupted until its engine must say why, seconds."""
PATIENCE_S = 300.0
"""The time for which an engine may be out of reach before its jobs are given up, seconds."""


@dataclass(frozen=True)
class Board:
    """The progress over all jobs.

    Attributes:
        queued: The number of jobs that wait.
        running: The node of each running job, by the job's number; an empty name if it is unknown.
        done: The number of jobs that are done.
        failed: The number of jobs that have ended in another way.
        waiting: The reason why jobs wait, if the engine says one.
    """

    queued: int
    running: Mapping[int, str]
    done: int
    failed: int
    waiting: str | None = None


@dataclass(frozen=True)
class JobEnd:
    """The end of a job.

    Attributes:
        number: The job's number.
        node: The name of the node that ran the job; `None` if it ran on none, or that is unknown.
        reason: The reason why the job did not measure all its cases, as the end of a sentence that
            begins with the job; `None` if it is done.
        lost: True if the job has not said how it ended: its node may be gone.
    """

    number: int
    node: str | None
    reason: str | None = None
    lost: bool = False


@dataclass
class Dispatch:
    """Follows jobs.

    Attributes:
        engine: The engine.
        files: The files of the jobs.
        jobs: The jobs.
        clock: The present time, seconds.
        sleep: Waits for some seconds.
    """

    engine: Engine
    files: JobFiles
    jobs: Sequence[JobSpec]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _nodes: dict[int, str] = field(default_factory=dict)
    _ended_s: dict[int, float] = field(default_factory=dict)
    _reached_s: float = 0.0
    _unreachable: str | None = None

    def run(self, show: Callable[[Board], None]) -> Iterator[JobEnd]:
        """Submits all jobs, and yields each when it has ended.

        Args:
            show: Called with the progress at each look at the jobs.

        Raises:
            EngineError: The engine refuses the jobs.
        """
        self.engine.submit(self.jobs)
        left = {job.number for job in self.jobs}
        done = failed = 0
        states: Mapping[int, JobState] = {}
        self._reached_s = self.clock()
        while left:
            states = self._states(states)
            self._find_nodes(left)
            for end in self._ends(left, states):
                left.discard(end.number)
                done, failed = done + (end.reason is None), failed + (end.reason is not None)
                yield end
            show(self._board(left, states, done, failed))
            if left:
                self.sleep(min(MAX_POLL_S, max(MIN_POLL_S, len(left) / JOBS_PER_POLL_S)))

    def remaining(self, numbers: Sequence[int]) -> Iterator[JobEnd]:
        """The ends of jobs that were cancelled."""
        self._find_nodes(numbers)
        for number in numbers:
            outcome = self.files.read_outcome(number)
            yield self._end(number, outcome, "was cancelled")

    def _states(self, before: Mapping[int, JobState]) -> Mapping[int, JobState]:
        try:
            states = self.engine.states()
        except EngineError as error:
            self._unreachable = str(error)
            return before
        self._reached_s, self._unreachable = self.clock(), None
        return states

    def _find_nodes(self, left: Sequence[int] | set[int]) -> None:
        """Reads where jobs run, once for each job."""
        for number in self.files.started().intersection(left) - self._nodes.keys():
            start = self.files.read_start(number)
            if start is not None:
                self._nodes[number] = start.node

    def _ends(self, left: set[int], states: Mapping[int, JobState]) -> Iterator[JobEnd]:
        written = self.files.ended()
        for number in sorted(left):
            outcome = self.files.read_outcome(number) if number in written else None
            state = states.get(number)
            if state is not None and state.phase is JobPhase.ENDED:
                end = self._ended(number, state)
            elif outcome is not None:
                end = self._told(number, outcome)
            else:
                end = self._given_up(number)
            if end is not None:
                yield end

    def _ended(self, number: int, state: JobState) -> JobEnd | None:
        """The end of a job that has ended; `None` while its outcome may become visible."""
        if state.node is not None:
            self._nodes.setdefault(number, state.node)
        outcome = self.files.read_outcome(number)  # the directory's listing may be older
        waited_s = self.clock() - self._ended_s.setdefault(number, self.clock())
        if outcome is None and state.reason is None and waited_s <= GRACE_S:
            return None
        return self._end(number, outcome, state.reason)

    def _told(self, number: int, outcome: JobOutcome) -> JobEnd | None:
        """The end of a job by its own word; `None` while the engine may say why it interrupts."""
        waited_s = self.clock() - self._ended_s.setdefault(number, self.clock())
        if outcome.ending is JobEnding.INTERRUPTED and waited_s <= REASON_S:
            return None
        return self._end(number, outcome)

    def _given_up(self, number: int) -> JobEnd | None:
        """The end of a job whose engine has not answered for long."""
        if self._unreachable is None or self.clock() - self._reached_s <= PATIENCE_S:
            return None
        reason = (
            f"is given up: {self._unreachable}; it may still run, and --resume takes over what it "
            f"has measured"
        )
        return self._end(number, None, reason)

    def _end(self, number: int, outcome: JobOutcome | None, reason: str | None = None) -> JobEnd:
        node = self._nodes.get(number)
        if outcome is None:
            return JobEnd(number, node, reason or "ended without a result", lost=True)
        if outcome.ending is JobEnding.DONE:
            return JobEnd(number, node)
        if outcome.ending is JobEnding.INTERRUPTED:  # the engine knows why
            return JobEnd(number, node, reason or outcome.reason or "was interrupted")
        verb = "was refused" if outcome.ending is JobEnding.REFUSED else "failed"
        return JobEnd(number, node, f"{verb}: {outcome.reason}")

    def _board(
        self, left: set[int], states: Mapping[int, JobState], done: int, failed: int
    ) -> Board:
        running = {n: self._nodes[n] for n in sorted(left) if n in self._nodes}
        for number in left - running.keys():
            state = states.get(number)
            if state is not None and state.phase is JobPhase.RUNNING:
                running[number] = state.node or ""
        queued = left - running.keys()
        reasons = [s.reason for n in queued if (s := states.get(n)) is not None and s.reason]
        waiting = self._unreachable or (reasons[0] if reasons else None)
        return Board(len(queued), running, done, failed, waiting)
