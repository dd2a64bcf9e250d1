"""Runs the cases of a matrix: claims a directory, measures each case, reports and closes.

This is the parent's side. It never imports torch and never touches a device.
"""

import shutil
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from stepbench.config.case import Case
from stepbench.config.options import Options
from stepbench.devices import kinds
from stepbench.process.server import Server
from stepbench.results.claim import create, point_latest_at, reopen
from stepbench.results.run_directory import RunDirectory
from stepbench.runner import disk_space, expected_time, prepare, resume
from stepbench.runner.jobs import CaseJobs
from stepbench.runner.left_behind import LeftBehind
from stepbench.runner.measuring import CaseMeasurer
from stepbench.runner.parity import ParityJudge
from stepbench.runner.profiling import Profiler
from stepbench.runner.progress import NO_TASKS, Progress, Task
from stepbench.runner.recovery import ServerRecovery
from stepbench.runner.run_log import RunLog
from stepbench.runner.training_time import sentence, step_s, training_time
from stepbench_reports.schema.paths import relative_path
from stepbench_reports.schema.results import (
    MeasurementRecord,
    ParityRecord,
    ProfileRecord,
    TrainingParityRecord,
)
from stepbench_reports.schema.status import Status
from stepbench_reports.wording.with_noun import with_noun

if TYPE_CHECKING:
    from stepbench_reports.schema.run import RunFacts


@dataclass(frozen=True)
class _OpenRun:
    """The parts of a run that exist while its server runs."""

    server: Server
    log: RunLog
    recovery: ServerRecovery
    measurer: CaseMeasurer
    judge: ParityJudge
    profiler: Profiler | None


class Runner:
    """Measures the cases of a matrix and keeps the results in a run directory.

    Args:
        options: The run's options.
        arguments: The command line, for the record.
        console: The terminal that shows progress.
    """

    def __init__(self, options: Options, arguments: list[str], console: Console) -> None:
        self._options = options
        self._arguments = arguments
        self._console = console
        self._directory: RunDirectory | None = None
        self._server: Server | None = None
        self._open: _OpenRun | None = None
        self.facts: RunFacts | None = None
        self.progress = Progress(console, 0, expected_time.case_s(options.sampling))
        self.cases: tuple[Case, ...] = ()
        self._expected: tuple[Case, ...] = ()
        self._training: set[Case] = set()
        self._began_s = time.monotonic()

    # --- begin and end ---------------------------------------------------------------------------

    def list_only(self) -> None:
        """Lists the cases without measuring any: no torch, no child, no new directory.

        Raises:
            UsageError: The run cannot be resumed.
        """
        if self._options.resume is not None:
            self.claim()
            self.directory.close()
        self.cases = self._options.matrix.on(kinds.listed_without_torch()).cases

    def claim(self) -> None:
        """Claims the run's directory.

        Raises:
            UsageError: The directory cannot be created or locked, or the run cannot be resumed.
        """
        path = self._options.resume
        if path is None:
            self._directory = create(self._options.output)
        else:
            self._directory = reopen(path)
            stored = self.directory.read_run()
            resume.refuse_cluster(stored, path)
            self._options = resume.adopt(self._options, stored, path)

    def open(self) -> None:
        """Starts the server, checks workloads, data and devices, and stores the run's facts.

        Raises:
            ServerGoneError: The server cannot import its modules, or is lost for the second time.
            UsageError: An option cannot be satisfied.
        """
        options, directory = self._options, self.directory
        log = RunLog(directory, self.progress, self._console)
        left_behind = LeftBehind(log)
        self._server = prepare.start_server(options, left_behind.add)
        jobs = CaseJobs(options, directory, self._server, self.progress.show_activity)
        recovery = ServerRecovery(self._server, log.add_note)
        with self.progress.preparing():
            devices = recovery.run(lambda: prepare.preflight(jobs))
        self.cases = options.matrix.on(devices).cases
        self._open = _OpenRun(
            self._server,
            log,
            recovery,
            CaseMeasurer(
                jobs, self.progress.add_generation, self.progress.add_compilation, left_behind.of
            ),
            ParityJudge(jobs),
            None if options.profiling is None else Profiler(jobs, options.profiling, self.cases),
        )
        self._open.judge.adopt(self.cases)
        directory_option = "--output" if options.resume is None else "--resume"
        disk_space.refuse_full_disk(options, self.cases, directory.path, directory_option)
        if options.resume is not None:
            self._open.measurer.adopt(self.cases)
            self.facts = directory.read_run()
            return
        with self.progress.preparing():
            facts = recovery.run(lambda: prepare.run_facts(jobs, self._arguments, devices))
        directory.write_run(facts)
        self.facts = facts
        if options.output is None:
            point_latest_at(directory.path)

    def print_header(self) -> None:
        """Prints what will be measured, how long it takes, and on which devices."""
        opened = self._opened
        machine = None if self.facts is None else self.facts.machine
        opened.log.add_header(
            len(self.cases),
            opened.measurer.count,
            self._duration(self._unmeasured(self.cases)),
            {} if machine is None else machine.devices,
            opened.server.wait_until_ready(),
        )

    def expect(
        self, cases: Sequence[Case], tasks: Mapping[Task, Collection[Case]] = NO_TASKS
    ) -> None:
        """Sets the work to come, to estimate the time left.

        Args:
            cases: The cases that will be measured.
            tasks: The cases of each kind of task.
        """
        opened = self._opened
        self._expected = tuple(cases)
        work = {
            task: {_work(task, case) for case in of_task} - opened.judge.finished(task)
            for task, of_task in tasks.items()
        }
        training = work.get(Task.TRAINING_PARITY, set())
        training -= {case for case in training if case == case.eager_fp32}  # compared with itself
        self._training = set(training)
        unmeasured = self._unmeasured(cases)
        compilations = expected_time.compilations(unmeasured, cold=self._options.cold)
        self.progress.expect(unmeasured, work, compilations)
        if 0 < len(cases) < len(self.cases):
            selected = f"selected {len(cases)} of {len(self.cases)} cases"
            opened.log.add_line(f"{selected}: {self._duration(unmeasured)}")

    def _unmeasured(self, cases: Sequence[Case]) -> list[Case]:
        return [case for case in cases if self._opened.measurer.measured(case) is None]

    def _duration(self, cases: Sequence[Case]) -> str:
        """Says how long some cases take, and what makes it shorter."""
        options = self._options
        return expected_time.sentence(expected_time.work(cases, options), options.sampling)

    def remove_temporary(self) -> None:
        """Removes the run's temporary files; nothing can be measured afterwards."""
        self.directory.remove_temporary()

    def close(self) -> None:
        """Ends the server with its children; releases the directory, or discards an unused one."""
        if self._server is not None:
            self._server.close()
            self._server = self._open = None
        directory = self._directory
        if directory is None:
            return
        directory.remove_temporary()
        if not self.has_begun and self._options.resume is None:
            directory.discard()
        else:
            directory.close()

    # --- cases -----------------------------------------------------------------------------------

    def measured(self, case: Case) -> MeasurementRecord | None:
        """A case's measurement; `None` if it has not been taken yet."""
        return self._opened.measurer.measured(case)

    def measure(self, case: Case) -> MeasurementRecord:
        """Measures a case at the first call, and with it the expected cases of its group.

        Later calls for any of these cases return the measurement that was taken.

        Raises:
            ServerGoneError: The server is lost for the second time.
            StoreError: A measurement cannot be written.
        """
        opened = self._opened
        if opened.measurer.measured(case) is None:
            opened.recovery.run(lambda: self._measure_group(case))
            if all(opened.measurer.measured(expected) for expected in self._expected):
                self._announce_trainings()
        measured = opened.measurer.measured(case)
        assert measured is not None  # noqa: S101  # the group contains the case
        return measured

    def _measure_group(self, case: Case) -> None:
        opened = self._opened
        group = self._group_of(case)
        with self.progress.measuring(group):
            for measured_case, measurement in opened.measurer.measure(group):
                opened.log.add_measurement(measured_case, measurement)

    def _group_of(self, case: Case) -> list[Case]:
        """The expected cases that take turns with a case, and have not been measured."""
        if self._options.sampling.one_at_a_time:
            return [case]
        return list(dict.fromkeys((*self._unmeasured(self._expected), case)))

    def _announce_trainings(self) -> None:
        """Says how long all trainings will take, before the first of them."""
        options, opened = self._options.train_parity, self._opened
        if options is None or not self._training:
            return
        records = {case: opened.measurer.measured(case) for case in self.cases}
        steps_s = {
            case.numerics_key: seconds
            for case, record in records.items()
            if record is not None and (seconds := step_s(record)) is not None
        }
        time = training_time(self._training, steps_s, options)
        self.progress.expect_each(Task.TRAINING_PARITY, (time.low_s or time.high_s) / time.cases)
        opened.log.add_line(sentence(time, options))
        self._training = set()

    def judge(self, case: Case) -> ParityRecord:
        """Compares a case's tensors with the reference.

        Raises:
            ServerGoneError: The server is lost for the second time.
            StoreError: The result cannot be written.
        """
        with self.progress.running(case, Task.PARITY, _work(Task.PARITY, case)):
            result = self._opened.recovery.run(lambda: self._opened.judge.judge(case))
        self._opened.log.add_parity(case, result)
        return result

    def judge_training(self, case: Case) -> TrainingParityRecord:
        """Compares the accuracy of a case's trainings with the eager fp32 case's.

        Raises:
            ServerGoneError: The server is lost for the second time.
            StoreError: The result cannot be written.
        """
        with self.progress.running(case, Task.TRAINING_PARITY, _work(Task.TRAINING_PARITY, case)):
            result = self._opened.recovery.run(lambda: self._opened.judge.judge_training(case))
        self._opened.log.add_training_parity(case, result)
        return result

    def profile(self, case: Case) -> ProfileRecord:
        """Profiles a measured case.

        Raises:
            ServerGoneError: The server is lost for the second time.
            StoreError: The result cannot be written.
        """
        opened = self._opened
        profiler = opened.profiler
        if profiler is None:
            raise RuntimeError("profiling needs --profile")
        with self.progress.running(case, Task.PROFILE, _work(Task.PROFILE, case)):
            result = opened.recovery.run(lambda: profiler.profile(case))
        opened.log.add_profile(case, result)
        return result

    # --- reports ---------------------------------------------------------------------------------

    def report(self, benchmark_json: Path) -> None:
        """Writes the reports on the run's directory.

        Args:
            benchmark_json: The file that pytest-benchmark wrote; it is copied to the directory.

        Raises:
            OSError: The file cannot be copied.
            ReportError: A report cannot be written; the others are.
        """
        run_json = self.directory.benchmark_json
        if benchmark_json.exists() and benchmark_json.resolve() != run_json:
            shutil.copyfile(benchmark_json, run_json)
        import stepbench_reports  # noqa: PLC0415  # importing pandas takes a second

        stepbench_reports.write(self.directory.path)

    def print_error(self, message: str) -> None:
        """Prints a sentence on what has failed."""
        self._console.print(Text(f"error: {message}", style="red"), soft_wrap=True)

    def show(self, *, interrupted: bool = False) -> None:
        """Prints the table of cases, where the tracebacks of failed cases are, and the duration.

        Args:
            interrupted: True if a signal ended the run.
        """
        import stepbench_reports  # noqa: PLC0415  # pandas takes a second
        from stepbench_reports.render.writing import REPORT  # noqa: PLC0415  # so does Matplotlib

        stepbench_reports.show(self.directory.path, self._console)
        measured = [self.measured(case) for case in self.cases]
        if any(measurement is not None and measurement.detail for measurement in measured):
            report = relative_path(self.directory.path / REPORT)
            self._console.print(
                f"The traceback of each failed case is in {report}.", markup=False, soft_wrap=True
            )
        line = self._closing_line(measured, ", interrupted after" if interrupted else " in")
        self._console.print(Text(line, style="dim"))

    def _closing_line(self, measured: Sequence[MeasurementRecord | None], within: str) -> str:
        """The number of cases by what became of them, and the run's duration so far."""
        counts = Counter("not measured" if each is None else each.status for each in measured)
        seconds = round(time.monotonic() - self._began_s)
        parts = [f"{counts.pop(Status.OK, 0)} of {with_noun(len(measured), 'case')} measured"]
        parts += [f"{count} {status}" for status, count in counts.items()]
        return f"{', '.join(parts)}{within} {seconds // 60}:{seconds % 60:02} min"

    # --- facts -----------------------------------------------------------------------------------

    @property
    def directory(self) -> RunDirectory:
        """The run's directory."""
        if self._directory is None:
            raise RuntimeError("call claim() first")
        return self._directory

    @property
    def _opened(self) -> _OpenRun:
        if self._open is None:
            raise RuntimeError("call open() first")
        return self._open

    @property
    def has_begun(self) -> bool:
        """True once the run is set up, so that a case could have been measured."""
        return self.facts is not None

    @property
    def compares(self) -> bool:
        """True if tensors are compared (no `--no-parity`)."""
        return self._options.parity is not None

    @property
    def compares_trainings(self) -> bool:
        """True if trained models are compared (`--train-parity`)."""
        return self._options.train_parity is not None

    @property
    def profiles(self) -> bool:
        """True if cases are profiled (`--profile`)."""
        return self._options.profiling is not None

    def is_given(self, axis: str | None) -> bool:
        """True if an axis's values were given on the command line."""
        return axis in self._options.given


def _work(task: Task, case: Case) -> Case:
    """The case for which a task takes time; tensors and trainings are compared once for a key."""
    return case if task is Task.PROFILE else case.numerics_key
