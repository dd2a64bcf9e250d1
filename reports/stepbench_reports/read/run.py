"""A run as tidy pandas frames: cases, samples and phases."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from stepbench_reports.analysis.control import Control
from stepbench_reports.analysis.stats import Interval, relative_spread
from stepbench_reports.read import (
    axis_values,
    case_columns,
    hosts,
    phase_rows,
    uncompiled,
    weight_traffic,
)
from stepbench_reports.read.hosts import HostSpeed
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.numbers import number
from stepbench_reports.read.ratio import CONFIDENCE, Of, Ratio, ratio
from stepbench_reports.schema.cluster import HostFacts
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
        hosts: The hosts of a run on a cluster.
        repeats: Further measurements of cases, on a cluster: of the reference case in each job,
            with `--hosts-as-axis` of all cases on the other hosts.
    """

    path: Path
    facts: RunFacts
    measurements: tuple[Measurement, ...]
    problems: tuple[str, ...]
    hosts: tuple[HostFacts, ...] = ()
    repeats: tuple[Measurement, ...] = ()

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
        return axis_values.varying(self.axis_names, self.measurements)

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
        """Speed-up of a case over its base, by the case's id; see `bases`."""
        return {
            case_id: self.ratio_of(self.case(case_id), base) for case_id, base in self.bases.items()
        }

    @cached_property
    def bases(self) -> Mapping[str, Measurement]:
        """The case that a case is compared with for its speed-up, by the case's id.

        That of a compiled case is the uncompiled one, that of a script with changed settings the
        unchanged script.
        """
        unchanged = self.unchanged_script
        if unchanged is None:
            return self.uncompiled
        return {m.id: unchanged for m in self.measured if m.script and m is not unchanged}

    @cached_property
    def unchanged_script(self) -> Measurement | None:
        """The case of the script as it is, beside which others have changed settings."""
        return next((m for m in self.measured if m.script and m.script.unchanged), None)

    @cached_property
    def uncompiled(self) -> Mapping[str, Measurement]:
        """The uncompiled case of each compiled case, by the compiled case's id."""
        return uncompiled.of_each(self.measured)

    @cached_property
    def controls(self) -> Mapping[str, Control]:
        """The control of a speed-up, by the compiled case's id: the time of making batches."""
        return uncompiled.controls(self.measured, self.uncompiled)

    @cached_property
    def speed_spread(self) -> float:
        """The variation of a machine's own speed between turns, as a share; NaN if unknown.

        Of several hosts, the one that varied most.

        It comes from a probe beside each turn, and knows nothing of the cases.
        """
        probes_s: dict[str | None, list[float]] = {}
        for m in self.measured:
            of_case = [turn.probe_s for turn in m.turns.taken if turn.probe_s]
            probes_s.setdefault(m.host, []).extend(of_case)
        spreads = (relative_spread(of_host) for of_host in probes_s.values())
        return max((spread for spread in spreads if spread >= 0), default=math.nan)

    def doubtful(self, case_id: str) -> bool:
        """True if the control of a compiled case's speed-up differs by more than chance allows."""
        return case_id in self.controls and self.controls[case_id].doubtful

    def neighbours(self, measurement: Measurement, axis: str) -> tuple[Measurement, ...]:
        """The measured cases that differ from a case on one axis alone."""
        alike = self._alike_but_for.get((axis, axis_values.key_without(measurement.axes, axis)), ())
        return tuple(m for m in alike if m.axes[axis] != measurement.axes.get(axis))

    @cached_property
    def _alike_but_for(self) -> Mapping[tuple[str, str], list[Measurement]]:
        """The measured cases with the same values on all axes but one, by that axis and these."""
        groups: dict[tuple[str, str], list[Measurement]] = {}
        for m in self.measured:
            for axis in m.axes:
                groups.setdefault((axis, axis_values.key_without(m.axes, axis)), []).append(m)
        return groups

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

    def ratio_of(
        self,
        a: Measurement,
        b: Measurement,
        of: Of = "samples_per_s",
        confidence: float = CONFIDENCE,
    ) -> Ratio:
        """The ratio of two cases; a case that took turns with each may link them."""
        linking = () if self.is_alone(a) or self.is_alone(b) else self.linking
        return ratio(a, b, linking, of=of, confidence=confidence)

    @cached_property
    def linking(self) -> tuple[Measurement, ...]:
        """The cases that may link two others with which they took turns."""
        return (*self.links, *self.measured)

    def is_alone(self, measurement: Measurement) -> bool:
        """True if a case took turns with no other one."""
        return all(self._players[key] == 1 for key in measurement.generations)

    @cached_property
    def _players(self) -> Counter[Hashable]:
        """The number of cases in each generation of each group."""
        return Counter(key for m in self.linking for key in m.generations)

    @property
    def has_hosts(self) -> bool:
        """True if more than one host has measured cases."""
        return len(self.hosts) > 1

    @cached_property
    def links(self) -> tuple[Measurement, ...]:
        """The cases that several jobs have measured, each with the turns of all of them."""
        return hosts.links(self.measured, self.repeats)

    @cached_property
    def host_speeds(self) -> tuple[HostSpeed, ...]:
        """The speed of each host."""
        return hosts.host_speeds(self.hosts, self.measurements, self.repeats)

    def rank(self, measurement: Measurement) -> float:
        """The ratio of a case's samples/s to those of one that many others took turns with.

        Paired ratios order cases also where the machine's speed changed between their groups. NaN
        on another host, without a case that links both.
        """
        return self.ratio_of(measurement, self._common).interval.value

    @cached_property
    def _common(self) -> Measurement:
        """The case that took turns in the most generations."""
        return max(self.linking, key=lambda m: len(m.generations))

    def machine_peaks(self, device: object, host: str | None = None) -> MachinePeaks | None:
        """A device's measured peak throughput; `None` if unknown.

        Args:
            device: The device.
            host: The host, in a run on a cluster; `None` for the machine of `run.json`.
        """
        if host is not None:
            found = next((facts for facts in self.hosts if facts.name == host), None)
            if found is not None:
                return found.machine_peaks.get(str(device))
        return self.facts.machine_peaks.get(str(device))

    def peak_flops_per_s(self, device: object, precision: object, host: str | None = None) -> float:
        """A device's peak FLOP/s in a precision, from matrix products; NaN if unknown."""
        peaks = self.machine_peaks(device, host)
        return math.nan if peaks is None else number(peaks.matmul_flops_per_s.get(str(precision)))

    def copy_bytes_per_s(self, device: object, host: str | None = None) -> float:
        """A device's peak memory throughput: bytes/s read and written by a copy; NaN if unknown."""
        peaks = self.machine_peaks(device, host)
        return math.nan if peaks is None else peaks.copy_bytes_per_s

    def ridge(self, device: object, precision: object, host: str | None = None) -> float:
        """FLOPs per byte above which arithmetic limits a case, and below which memory does."""
        bytes_per_s = self.copy_bytes_per_s(device, host)
        flops_per_s = self.peak_flops_per_s(device, precision, host)
        return flops_per_s / bytes_per_s if bytes_per_s > 0 else math.nan

    def share_of_peak(self, measurement: Measurement) -> float:
        """A case's FLOP/s as a share of its device's peak in its precision; NaN if unknown."""
        axes, host = measurement.axes, measurement.host
        peak_flops_per_s = self.peak_flops_per_s(axes.get("device"), axes.get("precision"), host)
        return measurement.flops_per_s / peak_flops_per_s if peak_flops_per_s > 0 else math.nan

    def roof_flops_per_s(self, measurement: Measurement) -> float:
        """The FLOP/s that a case's device allows at the case's intensity; NaN if unknown.

        The lower one of its peak in the case's precision, and of FLOPs per byte times the bytes/s
        of a copy. The bytes of a step whose tensors fit the cache do not all come from memory.
        """
        device, precision = measurement.axes.get("device"), measurement.axes.get("precision")
        peak = self.peak_flops_per_s(device, precision, measurement.host)
        from_memory = measurement.intensity * self.copy_bytes_per_s(device, measurement.host)
        return min(peak, from_memory) if from_memory > 0 else peak

    def share_of_roof(self, measurement: Measurement) -> float:
        """A case's FLOP/s as a share of `roof_flops_per_s`; NaN if unknown."""
        roof_flops_per_s = self.roof_flops_per_s(measurement)
        return measurement.flops_per_s / roof_flops_per_s if roof_flops_per_s > 0 else math.nan

    def limited_by_memory(self, measurement: Measurement) -> bool:
        """True if a case's roof is the device's memory, and not its arithmetic."""
        device, precision = measurement.axes.get("device"), measurement.axes.get("precision")
        return measurement.intensity < self.ridge(device, precision, measurement.host)

    def fits_cache(self, measurement: Measurement) -> bool:
        """True if the tensors of a case's step fit its device's cache; false if that is unknown."""
        peaks = self.machine_peaks(measurement.axes.get("device"), measurement.host)
        size_bytes = weight_traffic.resident_bytes(measurement)
        return peaks is not None and size_bytes <= number(peaks.cache_bytes)

    @cached_property
    def cases(self) -> pd.DataFrame:
        """A row for each case. Times are in seconds, sizes in bytes; missing means not measured.

        | column | |
        | --- | --- |
        | `id`, a column per axis, `status`, `reason` | the case and the outcome |
        | `host` | the host that measured the case, in a run on a cluster |
        | `clock`, `steps` | the clock of the laps; the number of lapped steps |
        | `step_s`, `step_low_s`, `step_high_s` | the median step, with its 95 % interval |
        | `mean_step_s` | the mean step over bare turns, or over lapped ones if there are none |
        | `samples_per_s`, `samples_per_s_low`, `samples_per_s_high` | samples in a step / mean step
          (see `Measurement.samples`), with the 95 % interval from the generations |
        | `speedup`, `speedup_low`, `speedup_high`, `speedup_paired` | samples/s over those of the
          uncompiled case; true if both cases took turns with each other |
        | `control`, `control_low`, `control_high`, `control_doubtful` | the time of making batches
          in the uncompiled case over that in the compiled one, which should be 1; true if it
          differs by more than 3 % of the step, and not by chance |
        | `generations` | how often the case's process was started anew |
        | `stopped`, `lapped_per_bare` | why sampling ended; mean step with laps / without |
        | `noise_discarded`, `noise_blocks`, `noise_interference` | turns that were left out; all
          turns; true if more than half were left out |
        | `bottleneck`, `bottleneck_share` | the step's bottleneck (two kinds, joined by `and`, if
          they are close); the first kind's share of the step |
        | `best_step_s` | the mean step without the first bottleneck |
        | `gain`, `gain_low`, `gain_high` | the speed-up without it, with its 95 % interval |
        | `fixed_cost_s`, `hidden_launch_s` | forward and backward of a step with next to no data:
          what adds to the step, and the launches that the device's work hides |
        | `flops`, `bytes`, `intensity` | floating-point operations of a step's forward and
          backward; bytes that these operators read and write; operations per byte |
        | `flops_per_s`, `share_of_peak` | `flops` / `mean_step_s`, and its share of the measured
          peak for the device and precision |
        | `share_of_roof` | `flops_per_s` as a share of what the device allows at this intensity:
          the lower one of its peak, and `intensity` times its memory's bytes per second |
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
                self.controls.get(measurement.id),
                share_of_peak=self.share_of_peak(measurement),
                share_of_roof=self.share_of_roof(measurement),
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
        columns = ["case", *self.axis_names, *phase_rows.FIGURES]
        rows = [
            {"case": m.id, **m.axes, **figures}
            for m in self.measurements
            for figures in phase_rows.rows(m)
        ]
        return pd.DataFrame(rows, columns=columns)


_NULLABLE_DTYPES = {"integer": "Int64", "boolean": "boolean"}
"""By pandas' inferred kind of a column, the type that also holds missing values."""
