"""Runs the cases of a matrix: claims a directory, measures each case, reports and closes.

This is the parent's side. It never imports torch and never touches a device.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from stepbench.config.case import Case
from stepbench.config.options import Options
from stepbench.devices import kinds
from stepbench.process.server import Server
from stepbench.results.claim import create, point_latest_at, reopen
from stepbench.results.run_directory import RunDirectory
from stepbench.runner import prepare, resume
from stepbench.runner.jobs import CaseJobs
from stepbench.runner.measuring import CaseMeasurer
from stepbench.runner.parity import ParityJudge
from stepbench.runner.profiling import Profiler
from stepbench.runner.progress import Progress
from stepbench.runner.run_log import RunLog
from stepbench_reports.schema.results import (
    MeasurementRecord,
    ParityRecord,
    ProfileRecord,
    TrainingParityRecord,
)

if TYPE_CHECKING:
    from stepbench_reports.schema.run import RunFacts


@dataclass(frozen=True)
class _OpenRun:
    """The parts of a run that exist while its server runs."""

    server: Server
    log: RunLog
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
        self.progress = Progress(console, 0, options.sampling.max_time_s)
        self.cases: tuple[Case, ...] = ()
        self._expected: tuple[Case, ...] = ()

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
            self._options = resume.adopt(self._options, self.directory.read_run(), path)

    def open(self) -> None:
        """Starts the server, checks workloads, data and devices, and stores the run's facts.

        Raises:
            UsageError: An option cannot be satisfied.
        """
        options, directory = self._options, self.directory
        self._server = prepare.start_server(options)
        jobs = CaseJobs(options, directory, self._server, self.progress.show_activity)
        with self.progress.preparing():
            devices = prepare.preflight(jobs)
        self.cases = options.matrix.on(devices).cases
        self._open = _OpenRun(
            self._server,
            RunLog(directory, self.progress, self._console),
            CaseMeasurer(jobs, self.progress.add_generation),
            ParityJudge(jobs),
            None if options.profiling is None else Profiler(jobs, options.profiling, self.cases),
        )
        self._open.judge.adopt(self.cases)
        if options.resume is not None:
            self._open.measurer.adopt(self.cases)
            self.facts = directory.read_run()
            return
        with self.progress.preparing():
            facts = prepare.run_facts(jobs, self._arguments, devices)
        directory.write_run(facts)
        self.facts = facts
        if options.output is None:
            point_latest_at(directory.path)

    def print_header(self) -> None:
        """Prints what will be measured, and on which devices."""
        opened = self._opened
        machine = None if self.facts is None else self.facts.machine
        opened.log.add_header(
            len(self.cases),
            opened.measurer.count,
            {} if machine is None else machine.devices,
            opened.server.wait_until_ready(),
        )

    def expect(self, cases: list[Case]) -> None:
        """Sets the cases that will be measured, to estimate the time left."""
        measurer = self._opened.measurer
        self._expected = tuple(cases)
        self.progress.expect([case for case in cases if measurer.measured(case) is None])

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
            StoreError: A measurement cannot be written.
        """
        opened = self._opened
        if opened.measurer.measured(case) is None:
            group = self._group_of(case)
            with self.progress.measuring(group):
                for measured_case, measurement in opened.measurer.measure(group):
                    opened.log.add_measurement(measured_case, measurement)
        measured = opened.measurer.measured(case)
        assert measured is not None  # noqa: S101  # the group contains the case
        return measured

    def _group_of(self, case: Case) -> list[Case]:
        """The expected cases that take turns with a case, and have not been measured."""
        if self._options.sampling.one_at_a_time:
            return [case]
        unmeasured = [c for c in self._expected if self._opened.measurer.measured(c) is None]
        return list(dict.fromkeys((*unmeasured, case)))

    def judge(self, case: Case) -> ParityRecord:
        """Compares a case's tensors with the reference.

        Raises:
            StoreError: The result cannot be written.
        """
        with self.progress.running(case, "parity"):
            result = self._opened.judge.judge(case)
        self._opened.log.add_parity(case, result)
        return result

    def judge_training(self, case: Case) -> TrainingParityRecord:
        """Compares the accuracy of a case's trainings with the eager fp32 case's.

        Raises:
            StoreError: The result cannot be written.
        """
        with self.progress.running(case, "training parity"):
            result = self._opened.judge.judge_training(case)
        self._opened.log.add_training_parity(case, result)
        return result

    def profile(self, case: Case) -> ProfileRecord:
        """Profiles a measured case.

        Raises:
            StoreError: The result cannot be written.
        """
        opened = self._opened
        if opened.profiler is None:
            raise RuntimeError("profiling needs --profile")
        with self.progress.running(case, "profile"):
            result = opened.profiler.profile(case)
        opened.log.add_profile(case, result)
        return result

    # --- reports ---------------------------------------------------------------------------------

    def report(self, benchmark_json: Path) -> None:
        """Writes the reports on the run's directory.

        Args:
            benchmark_json: The file that pytest-benchmark wrote; it is copied to the directory.
        """
        run_json = self.directory.benchmark_json
        if benchmark_json.exists() and benchmark_json.resolve() != run_json:
            shutil.copyfile(benchmark_json, run_json)
        import stepbench_reports  # noqa: PLC0415  # importing pandas takes a second

        stepbench_reports.write(self.directory.path)

    def show(self) -> None:
        """Prints the table of cases."""
        import stepbench_reports  # noqa: PLC0415  # pandas takes a second

        stepbench_reports.show(self.directory.path, self._console)

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
