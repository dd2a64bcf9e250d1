"""Measures each case once; compiles a compiled case with an empty cache first."""

import shutil
from collections.abc import Iterable
from typing import TYPE_CHECKING

from stepbench.config.case import Case
from stepbench.process.job import Job, Outcome
from stepbench.runner import outcomes
from stepbench.runner.jobs import CaseJobs
from stepbench_reports.schema.results import MeasurementRecord
from stepbench_reports.schema.status import Status

if TYPE_CHECKING:
    from pathlib import Path


class CaseMeasurer:
    """Measures the cases of a run, and keeps the measurements in the run directory.

    Args:
        jobs: Runs jobs in children.
    """

    def __init__(self, jobs: CaseJobs) -> None:
        self._jobs = jobs
        self._measured: dict[Case, MeasurementRecord] = {}
        self._compiled: dict[Path, Outcome] = {}

    def adopt(self, cases: Iterable[Case]) -> None:
        """Takes over the measurements of the run that is resumed."""
        for case in cases:
            measurement = self._jobs.directory.read(MeasurementRecord, case)
            if measurement is not None and measurement.is_final:
                self._measured[case] = measurement

    @property
    def count(self) -> int:
        """The number of cases measured so far."""
        return len(self._measured)

    def measured(self, case: Case) -> MeasurementRecord | None:
        """A case's measurement; `None` if it has not been taken yet."""
        return self._measured.get(case)

    def measure(self, case: Case) -> MeasurementRecord:
        """Takes a case's measurement and writes it.

        Raises:
            StoreError: The measurement cannot be written.
        """
        measurement = self._measurement(case)
        self._jobs.directory.write(measurement)
        self._measured[case] = measurement
        return measurement

    def _measurement(self, case: Case) -> MeasurementRecord:
        request = self._jobs.request(case)
        compiles = case.has_compile_cache and not case.overwrites_gradients  # else it is refused
        cold = self._compile_cold(case) if compiles else None
        if cold is not None and cold.status is not Status.OK:
            return outcomes.case_measurement(case, cold)
        outcome = self._jobs.run(Job("stepbench.measurement.measure:measure", (request,)))
        return outcomes.case_measurement(case, outcome, None if cold is None else cold.result)

    def _compile_cold(self, case: Case) -> Outcome:
        """Compiles a case with an empty cache; once for all cases that share the cache."""
        cache = self._jobs.compile_cache(case)
        if cache not in self._compiled:
            # An interrupted run may have left a part of the cache.
            shutil.rmtree(cache, ignore_errors=True)
            function = "stepbench.measurement.cold_start:compile_cold"
            self._compiled[cache] = self._jobs.run(Job(function, (self._jobs.request(case),)))
        return self._compiled[cache]
