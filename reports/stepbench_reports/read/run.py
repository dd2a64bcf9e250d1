"""A run as tidy pandas frames: cases, samples and phases."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from stepbench_reports.analysis import comparison
from stepbench_reports.analysis.stats import UNKNOWN, median_interval
from stepbench_reports.read import case_columns
from stepbench_reports.read import measurement as naming
from stepbench_reports.read.measurement import Measurement, number, share
from stepbench_reports.read.speedup import Speedup, speedup_over
from stepbench_reports.schema.axes import AxisValues
from stepbench_reports.schema.machine import MachinePeaks
from stepbench_reports.schema.phases import PHASES, STEP
from stepbench_reports.schema.run import RunFacts


@dataclass(frozen=True)
class Run:
    """One invocation, as its directory tells it.

    Attributes:
        path: The directory.
        facts: `run.json`.
        measurements: Every case of the matrix, in order, measured or not.
        problems: What could not be read, a sentence each, with the remedy.
    """

    path: Path
    facts: RunFacts
    measurements: tuple[Measurement, ...]
    problems: tuple[str, ...]

    @cached_property
    def measured(self) -> tuple[Measurement, ...]:
        """The cases that were measured, in order."""
        return tuple(m for m in self.measurements if m.ok)

    @cached_property
    def profiled(self) -> tuple[Measurement, ...]:
        """The cases that were to be profiled, in order, whatever became of that."""
        return tuple(m for m in self.measurements if m.profile.status is not None and m.axes)

    @cached_property
    def axis_names(self) -> tuple[str, ...]:
        """The axes, in order: those of `run.json`, then any others that cases have."""
        names = dict.fromkeys(self.facts.axes)
        for measurement in self.measurements:
            names.update(dict.fromkeys(measurement.axes))
        return tuple(names)

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The axes on which its cases differ, in order."""
        return naming.varying(self.axis_names, self.measurements)

    @cached_property
    def phase_names(self) -> tuple[str, ...]:
        """The phases that any case has, in order, without the step."""
        found = {name for m in self.measurements for laps in m.laps.values() for name in laps}
        return (
            *(name for name in PHASES if name in found),
            *sorted(found - {*PHASES, STEP}),
        )

    @cached_property
    def speedups(self) -> Mapping[str, Speedup]:
        """Speed-up over the eager twin by id, for the compiled cases whose twin was measured."""
        by_axes = {axes_key(m.axes): m for m in self.measured}
        found = {}
        for measurement in by_axes.values():
            twin_axes = comparison.eager_twin(measurement.axes)
            twin = by_axes.get(axes_key(twin_axes)) if twin_axes is not None else None
            if twin is not None and twin.clock == measurement.clock:
                found[measurement.id] = speedup_over(measurement, twin)
        return found

    def ceilings(self, device: object) -> MachinePeaks | None:
        """What a device reaches at best, as `run.json` has it; `None` where that is not known."""
        return self.facts.ceilings.get(str(device))

    def ceiling(self, device: object, precision: object) -> float:
        """Floating-point operations per second that a device reaches at best; NaN where unknown."""
        peaks = self.ceilings(device)
        return math.nan if peaks is None else number(peaks.matmul_flops_per_s.get(str(precision)))

    def copy_bytes_per_s(self, device: object) -> float:
        """Bytes per second, read and written, that copying within a device reaches at best."""
        peaks = self.ceilings(device)
        return math.nan if peaks is None else peaks.copy_bytes_per_s

    def ridge(self, device: object, precision: object) -> float:
        """Operations per byte above which arithmetic is the ceiling, and below it memory."""
        copied = self.copy_bytes_per_s(device)
        return self.ceiling(device, precision) / copied if copied > 0 else math.nan

    def share_of_ceiling(self, measurement: Measurement) -> float:
        """What a case reaches of its device's ceiling in its precision."""
        axes = measurement.axes
        ceiling = self.ceiling(axes.get("device"), axes.get("precision"))
        return measurement.flops_per_s / ceiling if ceiling > 0 else math.nan

    @cached_property
    def cases(self) -> pd.DataFrame:
        """A row for each case. Times in seconds, sizes in bytes; blank is not measured.

        | column | |
        | --- | --- |
        | `id`, a column per axis, `status`, `reason` | the case, and what became of it |
        | `clock`, `steps` | by which clock laps are taken, and how many lapped steps there are |
        | `step_s`, `step_low_s`, `step_high_s` | the median step, with its 95 % interval |
        | `mean_step_s` | the mean step over bare blocks (or else lapped ones) |
        | `samples_per_s`, `samples_per_s_low`, `samples_per_s_high` | samples of a step (batch size
          × accumulate) over its mean, with the 95 % interval from the blocks |
        | `speedup`, `speedup_low`, `speedup_high`, `speedup_of` | over the eager twin, of `mean`
          steps, or of `median` ones where there are too few bare blocks |
        | `stopped`, `lapped_per_bare` | why sampling ended; what taking laps costs |
        | `noise_set_aside`, `noise_blocks`, `noise_disturbed` | blocks measured again, of how many;
          whether disturbed ones had to be counted |
        | `bound`, `bound_share` | what bounds the step (two kinds, joined by `and`, where they are
          close), and the first one's share of it |
        | `best_step_s` | what the mean step could become at best if the first were lifted |
        | `fixed_s` | what forward and backward of a step take with next to no data |
        | `flops`, `bytes`, `intensity` | operations of a step's forward and backward, bytes that
          they read and write, and operations per byte |
        | `flops_per_s`, `share_of_ceiling` | `flops` / `mean_step_s`, and that as a share of the
          machine's measured ceiling for device and precision |
        | `parity`, `parity_error` | `pass`, `fail`, `undecided` or `not judged`; the relative error
          of the tensor that comes closest to its allowance |
        | `training_parity`, `accuracy`, `twin_accuracy` | `equivalent`, `different`,
          `inconclusive` or `twin`; mean test accuracies over the seeds |
        | `elapsed_s`, `start_s` | the whole case; its process's start |
        | `loader_start_s`, `loader_restart_s`, `loader_samples_per_s`, `loader_disturbed` | the
          loader by itself, and whether its rate was disturbed |
        | `first_step_s`, `warmup_s` | what came before sampling |
        | `cold_compile_s`, `warm_compile_s`, `cold_first_step_s` | with an empty cache and with a
          kept one |
        | `graphs`, `graph_breaks`, `recompiles` | by Dynamo's counters |
        | `host_peak_bytes`, `device_peak_allocated_bytes`, `device_peak_reserved_bytes` | peaks of
          the sampled steps |
        | `saved_bytes` | what autograd keeps of a forward pass |
        | `data`, `data_origin`, `parameters` | what was trained, and on what |
        """
        frame = pd.DataFrame([self._case_row(m) for m in self.measurements])
        kinds = {  # cases that have no file have no axes
            name: _NULLABLE.get(pd.api.types.infer_dtype(frame[name], skipna=True), "object")
            for name in self.axis_names
        }
        return frame.astype(kinds)

    def _case_row(self, measurement: Measurement) -> dict[str, case_columns.Cell]:
        return {
            "id": measurement.id,
            **{name: measurement.axes.get(name) for name in self.axis_names},
            **case_columns.figures(
                measurement,
                self.speedups.get(measurement.id),
                self.share_of_ceiling(measurement),
            ),
        }

    @cached_property
    def samples(self) -> pd.DataFrame:
        """A row for each step of each case and clock: `index` counts steps, phases are seconds.

        A phase that a case does not have is NaN.
        """
        columns = ["case", "clock", "index", *self.phase_names, STEP]
        parts = [
            pd.DataFrame(laps).assign(case=m.id, clock=clock, index=np.arange(len(laps[STEP])))
            for m in self.measurements
            for clock, laps in m.laps.items()
        ]
        if not parts:
            return pd.DataFrame(columns=columns)
        return pd.concat(parts, ignore_index=True).reindex(columns=columns)

    @cached_property
    def phases(self) -> pd.DataFrame:
        """A row for each case, clock and phase, `step` included: what `phases.csv` holds."""
        columns = ["case", *self.axis_names, *_PHASE_FIGURES]
        rows = [
            {"case": m.id, **m.axes, **figures} for m in self.measurements for figures in _phases(m)
        ]
        return pd.DataFrame(rows, columns=columns)


_NULLABLE = {"integer": "Int64", "boolean": "boolean"}
"""What pandas calls a column's kind, and the type that also holds missing values."""
_PHASE_FIGURES = (
    "phase",
    "clock",
    "n",
    "median_s",
    "low_s",
    "high_s",
    "mean_s",
    "p05_s",
    "p95_s",
    "total_s",
    "share",
    "samples_per_s",
    "samples_per_s_low",
    "samples_per_s_high",
)


def _phases(measurement: Measurement) -> Iterator[dict[str, case_columns.Cell]]:
    for clock, tracks in measurement.laps.items():
        for phase, laps in tracks.items():
            shown = clock == measurement.clock
            median = measurement.medians[phase] if shown else median_interval(laps)
            whole = measurement.samples_per_s if phase == STEP else UNKNOWN
            p05, p95 = np.quantile(laps, [0.05, 0.95])
            yield {
                "phase": phase,
                "clock": clock,
                "n": len(laps),
                "median_s": median.value,
                "low_s": median.low,
                "high_s": median.high,
                "mean_s": float(laps.mean()),
                "p05_s": float(p05),
                "p95_s": float(p95),
                "total_s": float(laps.sum()),
                "share": share(tracks, phase),
                "samples_per_s": whole.value,
                "samples_per_s_low": whole.low,
                "samples_per_s_high": whole.high,
            }


def axes_key(axes: AxisValues) -> str:
    """The same for cases that agree on every axis, in whatever order these stand."""
    return json.dumps(axes, sort_keys=True, default=str)
