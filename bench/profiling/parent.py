"""The parent's side of profiling: asks a child for each case, and keeps what it found."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from bench.case import AXES, Case
from bench.child import Job, RunJob, Status
from bench.profiling.chrome_trace import SUFFIX
from bench.profiling.profile import Profiled
from bench.request import Figures, ProfileRequest, Profiling, Request
from bench.store import RunDirectory

ALWAYS_SHOWN = {"workload", "device", "batch_size", "num_workers", "compile", "precision"}
"""Settings that the table of all cases has whether they vary or not."""
MORE_S = 120.0
"""A profile has a training and tests beside what a measurement has."""
STEP_MS = "step_ms"
"""Stands first: the table of all cases shows the first five results, and the others if asked."""


class Profiler:
    """Profiles the cases of a run.

    Args:
        directory: Where what is found is kept.
        request: What a child is to be told of a case.
        run_job: Asks a child.
        profiling: What to profile.
        cases: All the cases of the run.
    """

    def __init__(
        self,
        directory: RunDirectory,
        request: Callable[[Case], Request],
        run_job: RunJob,
        profiling: Profiling,
        cases: tuple[Case, ...],
    ) -> None:
        self._directory = directory
        self._request = request
        self._run_job = run_job
        self._profiling = profiling
        self._cases = cases

    def profiled(self, case: Case) -> Profiled:
        """What profiling a measured case found; taken at the first call, and kept.

        Raises:
            StoreError: It could not be kept.
        """
        kept = self._directory.read_result(Profiled, case)
        if kept is not None and kept.status in {Status.OK, Status.UNSUPPORTED}:
            return kept
        asked = ProfileRequest(
            request=self._request(case),
            profiling=self._profiling,
            figures=self._figures(case),
            trace=self._directory.traces / f"{case.id}{SUFFIX}",
            board=self._directory.board / board_name(case),
            snapshot=self._directory.snapshots / f"{case.id}.pickle",
            scratch=self._directory.scratch,
        )
        outcome = self._run_job(Job("bench.profiling.job:profile", (asked,)), MORE_S)
        found = Profiled.of(case, outcome)
        self._directory.write_result(found)
        return found

    def _figures(self, case: Case) -> Figures:
        """What was measured of a case, by the code that reports use."""
        from reports import directory  # noqa: PLC0415  # pandas takes a second

        choices = self._choices()
        measurement = directory.read_case(self._directory.case_file(case), case.id)
        blocks = measurement.entries("blocks")
        medians = {f"{name}_ms": median.value * 1e3 for name, median in measurement.medians.items()}
        results = {"samples_per_s": measurement.samples_per_s.value}
        results |= {name: medians[name] for name in sorted(medians, key=lambda n: n != STEP_MS)}
        peak_bytes = measurement.figure("memory", "host_peak_bytes")
        results["host_peak_mib"] = peak_bytes / 2**20
        return Figures(
            laps_s={
                name: tuple(laps.tolist())
                for name, laps in measurement.laps[measurement.clock].items()
            },
            samples_per_s=tuple(
                block["steps"] * case.samples / block["elapsed_s"]
                for block in blocks
                if block["kind"] == "bare"
            ),
            settings={name: settings(case)[name] for name in choices},
            choices=choices,
            results={name: value for name, value in results.items() if math.isfinite(value)},
        )

    def _choices(self) -> Mapping[str, tuple[str | float, ...]]:
        """All values of each setting; those that no case of the run differs in are left out."""
        rows = [settings(case) for case in self._cases]
        values = {axis.name: tuple(dict.fromkeys(row[axis.name] for row in rows)) for axis in AXES}
        usual = settings(Case(workload=self._cases[0].workload))
        return {
            name: found
            for name, found in values.items()
            if name in ALWAYS_SHOWN or len(found) > 1 or found != (usual[name],)
        }


def board_name(case: Case) -> str:
    """What TensorBoard calls a case, such as `convnet/cpu-b32-w2-default-fp32`."""
    workload = AXES[0].label(case.workload)
    return f"{workload}/{case.id.removeprefix(workload).lstrip('-')}"


def settings(case: Case) -> dict[str, str | float]:
    """A case's values for the table of settings, which shows switches as numbers."""
    shown: dict[str, Any] = case.values()
    return {
        name: {True: "on", False: "off"}[value] if isinstance(value, bool) else value
        for name, value in shown.items()
    }
