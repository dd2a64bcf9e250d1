"""The parent's side of profiling: starts a child for each case, and stores the result."""

import math
from collections.abc import Mapping
from typing import Any

from stepbench.config.axes import AXES
from stepbench.config.case import Case
from stepbench.config.requests import Figures, ProfileRequest
from stepbench.process.job import Job
from stepbench.runner import outcomes
from stepbench.runner.jobs import CaseJobs
from stepbench_reports.schema.axis_labels import workload_label
from stepbench_reports.schema.files import TRACE_SUFFIX
from stepbench_reports.schema.names import file_name
from stepbench_reports.schema.results import MeasurementRecord, ProfileRecord
from stepbench_reports.schema.run import ProfilingOptions

ALWAYS_SHOWN = {"workload", "device", "batch_size", "num_workers", "compile", "precision"}
"""Settings that the table of all cases shows even if all cases have the same value."""
EXTRA_S = 120.0
"""The time beyond a case's deadline for which profiling may be silent, seconds."""
FIRST_MS = ("step_ms", "optimizer_ms")
"""The first times among the results; the table of all cases shows five results, and the rest on
request."""


class Profiler:
    """Profiles the cases of a run.

    Args:
        jobs: Runs jobs in children.
        options: The parts of profiling.
        cases: All cases of the run.
    """

    def __init__(self, jobs: CaseJobs, options: ProfilingOptions, cases: tuple[Case, ...]) -> None:
        self._jobs = jobs
        self._directory = jobs.directory
        self._options = options
        self._cases = cases

    def profile(self, case: Case) -> ProfileRecord:
        """Profiles a measured case, or returns the result of an earlier profile.

        Raises:
            StoreError: The result cannot be written.
        """
        earlier = self._directory.read(ProfileRecord, case)
        if earlier is not None and earlier.is_final:
            return earlier
        request = ProfileRequest(
            request=self._jobs.request(case),
            profiling=self._options,
            figures=self._figures(case),
            trace=self._directory.traces / f"{case.id}{TRACE_SUFFIX}",
            tensorboard=self._directory.tensorboard / tensorboard_name(case),
            snapshot=self._directory.snapshots / f"{case.id}.pickle",
            scratch=self._directory.scratch,
        )
        outcome = self._jobs.run(Job("stepbench.profiling.job:profile", (request,)), EXTRA_S)
        result = outcomes.profile_record(case, outcome)
        self._directory.write(result)
        return result

    def _figures(self, case: Case) -> Figures:
        """Reads the measured figures of a case, by the same code as the reports."""
        from stepbench_reports.read import run_directory  # noqa: PLC0415  # pandas takes a second

        choices = self._choices()
        measurement = run_directory.read_case(
            self._directory.file(MeasurementRecord, case), case.id
        )
        medians = {f"{name}_ms": median.value * 1e3 for name, median in measurement.medians.items()}
        results = {"samples_per_s": measurement.samples_per_s.value}
        results |= {name: medians[name] for name in FIRST_MS if name in medians} | medians
        peak_bytes = measurement.value(lambda findings: findings.memory.host_peak_bytes)
        results["host_peak_mib"] = peak_bytes / 2**20
        return Figures(
            laps_s={
                name: tuple(laps.tolist())
                for name, laps in measurement.laps[measurement.clock].items()
            },
            samples_per_s=tuple(
                block.steps * case.samples / block.elapsed_s
                for block in measurement.blocks
                if block.kind == "bare"
            ),
            settings={name: settings(case)[name] for name in choices},
            choices=choices,
            results={name: value for name, value in results.items() if math.isfinite(value)},
        )

    def _choices(self) -> Mapping[str, tuple[str, ...]]:
        """All values of each setting; leaves out settings with the default value in all cases."""
        rows = [settings(case) for case in self._cases]
        values = {axis.name: tuple(dict.fromkeys(row[axis.name] for row in rows)) for axis in AXES}
        defaults = settings(Case(workload=self._cases[0].workload))
        return {
            name: choices
            for name, choices in values.items()
            if name in ALWAYS_SHOWN or len(choices) > 1 or choices != (defaults[name],)
        }


def tensorboard_name(case: Case) -> str:
    """The name of a case in TensorBoard, such as `convnet/cpu-b32-w2-default-fp32`."""
    workload = file_name(workload_label(case.workload))
    return f"{workload}/{case.id.removeprefix(workload).lstrip('-')}"


def settings(case: Case) -> dict[str, str]:
    """A case's values for the table of settings, as text: TensorBoard writes numbers as 8.0000."""
    values: dict[str, Any] = case.values()
    return {
        name: {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
        for name, value in values.items()
    }
