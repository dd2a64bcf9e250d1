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
from stepbench_reports.analysis.stats import UNKNOWN, Interval
from stepbench_reports.read import case_columns
from stepbench_reports.read.measurement import Measurement, number, share, varying
from stepbench_reports.read.ratio import Of, Ratio, ratio
from stepbench_reports.schema.axes import AxisValues
from stepbench_reports.schema.machine import MachinePeaks
from stepbench_reports.schema.phases import PHASES, STEP
from stepbench_reports.schema.run import RunFacts


@dataclass(frozen=True)
class Run:
    """One invocation of stepbench, read from its directory.

    Attributes:
        path: The run's directory, or pytest-benchmark's file.
        facts: The content of `run.json`.
        measurements: Every case of the matrix, in order, measured or not.
        problems: A sentence for each file that could not be read, with the remedy.
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
        """The cases with a record of profiling, in order, successful or not."""
        return tuple(m for m in self.measurements if m.profile.status is not None and m.axes)

    @cached_property
    def axis_names(self) -> tuple[str, ...]:
        """The axes, in order: those of `run.json`, then any that only cases have."""
        names = dict.fromkeys(self.facts.axes)
        for measurement in self.measurements:
            names.update(dict.fromkeys(measurement.axes))
        return tuple(names)

    @cached_property
    def varying(self) -> tuple[str, ...]:
        """The axes on which the run's cases differ, in order."""
        return varying(self.axis_names, self.measurements)

    @cached_property
    def phase_names(self) -> tuple[str, ...]:
        """The phases of all cases together, in order, without `step`."""
        names = {name for m in self.measurements for laps in m.laps.values() for name in laps}
        return (
            *(name for name in PHASES if name in names),
            *sorted(names - {*PHASES, STEP}),
        )

    @cached_property
    def speedups(self) -> Mapping[str, Ratio]:
        """Speed-up over the uncompiled case, by the compiled case's id, if both are measured."""
        return {
            case_id: self.ratio_of(self.case(case_id), eager)
            for case_id, eager in self.uncompiled.items()
        }

    @cached_property
    def uncompiled(self) -> Mapping[str, Measurement]:
        """The uncompiled case of each compiled case, by the compiled case's id."""
        by_axes = {axes_key(m.axes): m for m in self.measured}
        found = {}
        for measurement in by_axes.values():
            eager_axes = comparison.uncompiled(measurement.axes)
            eager = by_axes.get(axes_key(eager_axes)) if eager_axes is not None else None
            if eager is not None and eager.clock == measurement.clock:
                found[measurement.id] = eager
        return found

    def case(self, case_id: str) -> Measurement:
        """Finds a case by its id.

        Raises:
            KeyError: The run has no such case.
        """
        for measurement in self.measurements:
            if measurement.id == case_id:
                return measurement
        raise KeyError(f"{case_id}: the run has no such case")

    def ratio(self, a: str, b: str, of: Of = "samples_per_s") -> Interval:
        """The ratio of two cases, paired by generation, with a 95 % interval.

        Args:
            a: The id of a case.
            b: The id of the case that it is compared with.
            of: `samples_per_s` (above 1 if `a` is faster) or `step` (above 1 if `a` is slower).

        Raises:
            KeyError: The run has no such case.
        """
        return self.ratio_of(self.case(a), self.case(b), of).interval

    def ratio_of(self, a: Measurement, b: Measurement, of: Of = "samples_per_s") -> Ratio:
        """The ratio of two cases; a case that took turns with each may link them."""
        return ratio(a, b, self.measured, of=of)

    def machine_peaks(self, device: object) -> MachinePeaks | None:
        """A device's measured peak throughput, from `run.json`; `None` if unknown."""
        return self.facts.machine_peaks.get(str(device))

    def peak_flops_per_s(self, device: object, precision: object) -> float:
        """A device's peak FLOP/s in a precision, from matrix products; NaN if unknown."""
        peaks = self.machine_peaks(device)
        return math.nan if peaks is None else number(peaks.matmul_flops_per_s.get(str(precision)))

    def copy_bytes_per_s(self, device: object) -> float:
        """A device's peak memory throughput: bytes/s read and written by a copy; NaN if unknown."""
        peaks = self.machine_peaks(device)
        return math.nan if peaks is None else peaks.copy_bytes_per_s

    def ridge(self, device: object, precision: object) -> float:
        """FLOPs per byte above which arithmetic limits a case, and below which memory does."""
        bytes_per_s = self.copy_bytes_per_s(device)
        flops_per_s = self.peak_flops_per_s(device, precision)
        return flops_per_s / bytes_per_s if bytes_per_s > 0 else math.nan

    def share_of_peak(self, measurement: Measurement) -> float:
        """A case's FLOP/s as a share of its device's peak in its precision; NaN if unknown."""
        axes = measurement.axes
        peak_flops_per_s = self.peak_flops_per_s(axes.get("device"), axes.get("precision"))
        return measurement.flops_per_s / peak_flops_per_s if peak_flops_per_s > 0 else math.nan

    @cached_property
    def cases(self) -> pd.DataFrame:
        """A row for each case. Times are in seconds, sizes in bytes; missing means not measured.

        | column | |
        | --- | --- |
        | `id`, a column per axis, `status`, `reason` | the case and the outcome |
        | `clock`, `steps` | the clock of the laps; the number of lapped steps |
        | `step_s`, `step_low_s`, `step_high_s` | the median step, with its 95 % interval |
        | `mean_step_s` | the mean step over bare turns, or over lapped ones if there are none |
        | `samples_per_s`, `samples_per_s_low`, `samples_per_s_high` | samples in a step / mean step
          (see `Measurement.samples`), with the 95 % interval from the generations |
        | `speedup`, `speedup_low`, `speedup_high`, `speedup_paired` | samples/s over those of the
          uncompiled case; true if both cases took turns with each other |
        | `generations` | how often the case's process was started anew |
        | `stopped`, `lapped_per_bare` | why sampling ended; mean step with laps / without |
        | `noise_discarded`, `noise_blocks`, `noise_interference` | turns that were left out; all
          turns; true if more than half were left out |
        | `bottleneck`, `bottleneck_share` | the step's bottleneck (two kinds, joined by `and`, if
          they are close); the first kind's share of the step |
        | `best_step_s` | the best mean step without the first bottleneck |
        | `launch_overhead_s`, `hidden_launch_s` | forward and backward of a step with next to no
          data: what adds to the step, and what the device's work hides |
        | `flops`, `bytes`, `intensity` | floating-point operations of a step's forward and
          backward; bytes that these operators read and write; operations per byte |
        | `flops_per_s`, `share_of_peak` | `flops` / `mean_step_s`, and its share of the measured
          peak for the device and precision |
        | `parity`, `parity_error` | `pass`, `fail`, `undecided` or `not judged`; the relative error
          of the tensor that comes closest to its tolerance |
        | `training_parity`, `accuracy`, `eager_fp32_accuracy` | `equivalent`, `different`,
          `inconclusive` or `eager fp32`; mean test accuracies over the seeds |
        | `elapsed_s`, `start_s` | the whole case; the start of the case's process |
        | `loader_start_s`, `loader_restart_s`, `loader_samples_per_s`, `loader_interference` | the
          loader with nothing else running; true if interference affected its rate |
        | `first_step_s`, `warmup_s` | the first step; the warm-up |
        | `cold_compile_s`, `warm_compile_s`, `cold_first_step_s` | compiling with an empty (cold)
          or a filled (warm) cache; the first step with an empty cache |
        | `graphs`, `graph_breaks`, `recompiles` | counts by Dynamo |
        | `cuda_graph_skips` | how often torch did not use a CUDA graph |
        | `host_peak_bytes`, `device_peak_allocated_bytes`, `device_peak_reserved_bytes` | peak
          memory of the sampled steps |
        | `host_pinned_bytes` | page-locked memory that torch held, a part of `host_peak_bytes` |
        | `saved_bytes` | memory that autograd saves in a forward pass for the backward pass |
        | `data`, `data_origin`, `parameters` | the data set, its source; the number of
          parameters |
        """
        frame = pd.DataFrame([self._case_row(m) for m in self.measurements])
        dtypes = {  # nullable types, as cases without a file have no axes
            name: _NULLABLE_DTYPES.get(pd.api.types.infer_dtype(frame[name], skipna=True), "object")
            for name in self.axis_names
        }
        return frame.astype(dtypes)

    def _case_row(self, measurement: Measurement) -> dict[str, case_columns.Cell]:
        return {
            "id": measurement.id,
            **{name: measurement.axes.get(name) for name in self.axis_names},
            **case_columns.figures(
                measurement,
                self.speedups.get(measurement.id),
                self.share_of_peak(measurement),
            ),
        }

    @cached_property
    def samples(self) -> pd.DataFrame:
        """A row for each case, clock and step: `index` counts steps, phases are in seconds.

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
        """A row for each case, clock and phase, `step` included: the content of `phases.csv`."""
        columns = ["case", *self.axis_names, *_PHASE_FIGURES]
        rows = [
            {"case": m.id, **m.axes, **figures} for m in self.measurements for figures in _phases(m)
        ]
        return pd.DataFrame(rows, columns=columns)


_NULLABLE_DTYPES = {"integer": "Int64", "boolean": "boolean"}
"""By pandas' inferred kind of a column, the type that also holds missing values."""
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
            is_reported = clock == measurement.clock
            median = measurement.medians[phase] if is_reported else measurement.turns.median(laps)
            samples_per_s = measurement.samples_per_s if phase == STEP else UNKNOWN
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
                "samples_per_s": samples_per_s.value,
                "samples_per_s_low": samples_per_s.low,
                "samples_per_s_high": samples_per_s.high,
            }


def axes_key(axes: AxisValues) -> str:
    """A string of the axes, equal for cases that agree on every axis, whatever their order."""
    return json.dumps(axes, sort_keys=True, default=str)
