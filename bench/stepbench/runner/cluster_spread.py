"""Spreads the missing cases of a run over nodes: submits jobs, follows them, merges results."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress

from rich.console import Console

from stepbench.cluster.dispatch import Dispatch, JobEnd
from stepbench.cluster.engine import Engine, EngineError
from stepbench.cluster.job_files import JobFiles
from stepbench.cluster.merge import merge_job, remove_job
from stepbench.config.case import Case
from stepbench.results.run_directory import RunDirectory
from stepbench.results.writing import StoreError
from stepbench.runner.cluster_plan import JobPlan
from stepbench.runner.cluster_progress import ClusterProgress
from stepbench.runner.progress import Task
from stepbench_reports.schema.cluster import JobRequest
from stepbench_reports.schema.results import MeasurementRecord

MAX_NAMED = 5
"""The number of cases that a sentence about a job names."""
MAX_ALIKE = 3
"""The number of jobs that are told one by one if they ended for the same reason."""


class Spread:
    """Has cases measured by jobs on nodes.

    Args:
        directory: The run's directory.
        engine: The engine.
        plan: Makes the jobs.
        console: The terminal.

    Attributes:
        measured: The measurements that jobs have taken, by case.
        reasons: For the cases of each job that did not end in order: the reason, by the case's id.
    """

    def __init__(
        self, directory: RunDirectory, engine: Engine, plan: JobPlan, console: Console
    ) -> None:
        self._directory, self._engine, self._plan = directory, engine, plan
        self._console = console
        self._files = JobFiles(directory.path)
        self._by_id = {case.id: case for case in plan.cases}
        self._left: dict[int, JobRequest] = {}
        self._alike: Counter[str] = Counter()
        self.measured: dict[Case, MeasurementRecord] = {}
        self.reasons: dict[str, str] = {}

    def run(self, missing: Sequence[Case], tasks: Mapping[Task, Sequence[Case]]) -> None:
        """Submits the jobs of some cases; returns when all have ended and are merged.

        After Ctrl-C, or if the disk is full, what is queued or runs is cancelled, and what is
        finished is kept.

        Args:
            missing: The cases that are to be measured.
            tasks: The cases of each kind of task that is left.

        Raises:
            StoreError: A file cannot be written.
        """
        first = max(self._files.requested(), default=0) + 1
        requests = self._plan.requests(missing, tasks, first)
        if not requests:
            return
        for request in requests:
            self._files.write_request(request)
        self._left = {request.number: request for request in requests}
        dispatch = Dispatch(self._engine, self._files, self._plan.specs(requests))
        progress = ClusterProgress(self._console, len(requests), self._engine.name)
        try:
            with progress.shown():
                for end in dispatch.run(progress.show):
                    self._take_in(end, progress)
            self._count_alike()
        except EngineError as error:
            for request in self._left.values():
                self._add_reason(request, str(error))
            self._add_line(f"error: {error}", "red")
        except KeyboardInterrupt:
            self._cancel(dispatch, progress)
            raise
        except StoreError:  # the disk is full, for the jobs as well
            with suppress(EngineError):
                self._engine.cancel()
            raise

    def _take_in(self, end: JobEnd, progress: ClusterProgress) -> None:
        """Merges the results of a job that has ended, and says how it ended."""
        request = self._left.pop(end.number)
        merged = merge_job(self._directory, request)
        if not end.lost:  # the process of a lost job may still write
            remove_job(self._directory, request.number)
        for name in merged.measured:
            case = self._by_id[name]
            record = self._directory.read(MeasurementRecord, case)
            if name not in request.repeats and record is not None:
                self.measured[case] = record
        missing = [name for name in request.measured if name not in merged.measured]
        self._directory.log(progress.end_line(end, len(request.measured) - len(missing)))
        for text in merged.damaged:
            self._add_line(f"note: {text}", "yellow")
        if end.reason is None:
            return
        reason = f"job {end.number}{'' if end.node is None else f' on {end.node}'} {end.reason}"
        last_line = self._files.last_line(end.number) if end.lost else None
        if last_line is not None:
            reason += f" (its last line: {last_line})"
        self._add_reason(request, reason)
        own = [name for name in missing if name not in request.repeats] or missing
        named = ", ".join(own[:MAX_NAMED]) or "none"
        more = f" and {len(own) - MAX_NAMED} more" if len(own) > MAX_NAMED else ""
        line = f"note: {reason}. Not measured: {named}{more}"
        self._alike[end.reason] += 1
        if self._alike[end.reason] <= MAX_ALIKE:
            self._add_line(line, "yellow")
        else:
            self._directory.log(line)

    def _count_alike(self) -> None:
        """Prints how many more jobs there are with a reason that was printed often enough."""
        for reason, count in self._alike.items():
            if count > MAX_ALIKE:
                more = count - MAX_ALIKE
                jobs = "1 more job" if more == 1 else f"{more:,} more jobs"
                self._add_line(f"note: {jobs} {reason} (run.log names the cases)", "yellow")

    def _cancel(self, dispatch: Dispatch, progress: ClusterProgress) -> None:
        """Cancels what is queued or runs, and keeps what is finished."""
        count = "1 job is" if len(self._left) == 1 else f"{len(self._left):,} jobs are"
        self._add_line(f"interrupted: {count} cancelled; what is finished is kept", "yellow")
        try:
            self._engine.cancel()
        except EngineError as error:
            self._add_line(f"note: {error}; the jobs may still run", "yellow")
        for end in dispatch.remaining(tuple(self._left)):
            self._take_in(end, progress)

    def _add_reason(self, request: JobRequest, reason: str) -> None:
        for name in request.run.cases:
            if name not in request.repeats:
                self.reasons[name] = reason

    def _add_line(self, line: str, style: str) -> None:
        self._console.print(line, style=style, soft_wrap=True, markup=False)
        self._directory.log(line)
