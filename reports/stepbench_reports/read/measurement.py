"""One case as its records tell it, and the figures that follow from these alone."""

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stepbench_reports.analysis import bottleneck, comparison
from stepbench_reports.analysis.stats import UNKNOWN, Interval, median_interval
from stepbench_reports.read.parity import UNKNOWN as NOT_COMPARED
from stepbench_reports.read.parity import Parity
from stepbench_reports.read.profile import UNKNOWN as NOT_PROFILED
from stepbench_reports.read.profile import Profile
from stepbench_reports.schema import measurement as schema
from stepbench_reports.schema.axes import EAGER, AxisValues
from stepbench_reports.schema.compilation import ColdStart, Compilation
from stepbench_reports.schema.measurement import Block, Findings
from stepbench_reports.schema.phases import STEP, Phase
from stepbench_reports.schema.status import Status

CLOCKS = schema.Laps.__struct_fields__
"""By whose clock laps are taken: the host's, and the device's."""
DAMAGED = "damaged"
"""Our word for a case whose file cannot be read."""
NOT_MEASURED = "not measured"
"""Our word for a case that has no file."""

Track: TypeAlias = NDArray[np.float64]
"""Seconds of a phase, one for each step; of micro-batches a row for each step."""
Tracks: TypeAlias = Mapping[str, Track]
"""Seconds by phase; `step` is the whole."""


@dataclass(frozen=True)
class Measurement:
    """All that one case gave.

    Attributes:
        id: The case's name.
        axes: Its value on each axis; empty where no file tells.
        status: As in the file, a `Status`, or `DAMAGED`, or `NOT_MEASURED`.
        reason: One sentence, where the status is not `Status.OK`.
        detail: A traceback or the end of what was printed, where there is one.
        start_s: Seconds from asking for the case's process to its first message; NaN if unknown.
        elapsed_s: Seconds from asking for the case's process to its end; NaN if unknown.
        findings: The figures of the file; `None` where there are none.
        blocks: Every block that counted, in order.
        laps: By clock; empty where the status is not `Status.OK`.
        micro_laps: Where a step has several micro-batches, the laps of each: arrays
            (steps, micro-batches) by phase, in seconds by `clock`.
        parity: Whether it trains the same model.
        profile: What profiling it found.
    """

    id: str
    axes: AxisValues
    status: str
    reason: str | None = None
    detail: str | None = None
    start_s: float = math.nan
    elapsed_s: float = math.nan
    findings: Findings | None = None
    blocks: tuple[Block, ...] = ()
    laps: Mapping[str, Tracks] = field(default_factory=dict)
    micro_laps: Tracks = field(default_factory=dict)
    parity: Parity = NOT_COMPARED
    profile: Profile = NOT_PROFILED

    @property
    def ok(self) -> bool:
        """Whether it was measured."""
        return self.status == Status.OK

    @property
    def clock(self) -> str:
        """The clock that tells how long the work took: the device's, where it has its own."""
        return "device" if "device" in self.laps else "host"

    @property
    def compiled(self) -> bool:
        """Whether `torch.compile` is at work."""
        return bool(self.axes.get("compile", EAGER) != EAGER)

    @property
    def disturbed(self) -> bool:
        """Whether blocks count that others on the machine disturbed."""
        return self.findings is not None and self.findings.noise.disturbed

    @property
    def loader_disturbed(self) -> bool:
        """Whether others on the machine disturbed the loader at every try to take its own rate."""
        return self.findings is not None and self.findings.loader.disturbed

    @property
    def watched_blocks(self) -> float:
        """How many blocks were watched for disturbance; NaN where unknown."""
        return self.value(lambda findings: len(findings.noise.blocks))

    @property
    def blocks_set_aside(self) -> float:
        """Blocks that were disturbed and measured again; NaN where unknown."""
        return self.value(lambda findings: findings.noise.set_aside)

    @property
    def stopped(self) -> str | None:
        """Why sampling ended; `None` where unknown."""
        return None if self.findings is None else self.findings.sampling.stopped

    @property
    def isolated(self) -> bool:
        """Whether the device was waited for at every lap (`--sync-phases`)."""
        return self.findings is not None and self.findings.settings.sync_phases

    @property
    def compilation(self) -> Compilation | None:
        """What was compiled; `None` in eager cases."""
        return None if self.findings is None else self.findings.compile

    @property
    def cold(self) -> ColdStart | None:
        """Its first compilation with an empty cache; `None` where there was none."""
        return None if self.compilation is None else self.compilation.cold

    @property
    def cold_compile_s(self) -> float:
        """Seconds that compiling takes with an empty cache; NaN where unknown."""
        return math.nan if self.cold is None else self.cold.compile_s

    @property
    def cold_first_step_s(self) -> float:
        """Seconds of the first step with an empty compile cache; NaN where unknown."""
        return math.nan if self.cold is None else self.cold.first_step_s

    @property
    def loader_samples_per_s(self) -> float:
        """The loader's own rate; NaN where unknown."""
        return self.value(lambda findings: findings.loader.samples_per_s)

    @property
    def unloaded_step_s(self) -> float:
        """Seconds of a step on one batch again and again; NaN where unknown."""
        return self.value(lambda findings: findings.loader.unloaded_step_s)

    @cached_property
    def medians(self) -> Mapping[str, Interval]:
        """Median seconds of each phase and of the step by `clock`, with 95 % intervals."""
        return {name: median_interval(laps) for name, laps in self.laps.get(self.clock, {}).items()}

    @cached_property
    def shares(self) -> Mapping[str, float]:
        """Each phase's share of the total time of the steps by `clock`."""
        laps = self.laps.get(self.clock, {})
        return {name: share(laps, name) for name in laps if name != STEP}

    @property
    def step(self) -> Interval:
        """The median step in seconds; NaN where it was not measured."""
        return self.medians.get(STEP, UNKNOWN)

    @cached_property
    def bare_step(self) -> Interval:
        """The mean step in seconds over all bare blocks; NaN where there are none."""
        return comparison.mean_step(self.blocks, "bare")

    @cached_property
    def lapped_step(self) -> Interval:
        """The mean step in seconds over all lapped blocks."""
        return comparison.mean_step(self.blocks, "lapped")

    @property
    def mean_step(self) -> Interval:
        """The mean step in seconds.

        Loader waits come in bursts, which the median step does not see and the mean does. It is
        that of bare blocks where there are any, for laps cost them nothing.
        """
        return self.lapped_step if math.isnan(self.bare_step.value) else self.bare_step

    @property
    def micro_batches(self) -> int:
        """How many batches a step goes through."""
        return int(number(self.axes.get("accumulate", 1)))

    @property
    def samples(self) -> int:
        """How many samples a step goes through; one of the workload's own may take more batches."""
        a_step = self.value(lambda findings: findings.loader.batches_a_step)
        batches = int(a_step) if a_step > 0 else self.micro_batches
        return int(number(self.axes["batch_size"])) * batches

    @cached_property
    def samples_per_s(self) -> Interval:
        """Samples per second, from the mean step."""
        return comparison.samples_per_s(self.samples, self.mean_step) if self.ok else UNKNOWN

    @property
    def lapped_per_bare(self) -> float:
        """Mean step with laps / mean step without; NaN where unknown."""
        return self.lapped_step.value / self.bare_step.value

    def mean_lap(self, phase: str, clock: str) -> float:
        """A phase's mean seconds in a step by one clock; NaN where it has none."""
        laps = self.laps.get(clock, {}).get(phase)
        return math.nan if laps is None else float(laps.mean())

    @property
    def flops(self) -> float:
        """Floating-point operations of forward and backward in a whole step."""
        return self.value(lambda findings: findings.work.flops) * self.micro_batches

    @property
    def bytes(self) -> float:
        """Bytes that the operators of forward and backward read and write in a whole step."""
        return self.value(lambda findings: findings.work.bytes) * self.micro_batches

    @property
    def flops_per_s(self) -> float:
        """Floating-point operations of forward and backward, per second of the mean step."""
        return self.flops / self.mean_step.value

    @property
    def intensity(self) -> float:
        """Floating-point operations per byte read or written."""
        return self.flops / self.bytes if self.bytes > 0 else math.nan

    @property
    def fixed_s(self) -> float:
        """What forward and backward of a whole step take with next to no data, seconds."""
        forward_s = self.value(lambda findings: findings.fixed.forward_s)
        learns = Phase.BACKWARD in self.shares
        backward_s = self.value(lambda findings: findings.fixed.backward_s) if learns else 0.0
        return (forward_s + backward_s) * self.micro_batches

    @cached_property
    def bound(self) -> bottleneck.Bottleneck | None:
        """What bounds it; `None` where its figures do not tell."""
        if not self.ok:
            return None
        own_rate = self.loader_samples_per_s
        ahead = number(self.axes.get("num_workers")) > 0 and own_rate > 0
        known = ahead and not self.loader_disturbed
        return bottleneck.find(
            self.mean_step.value,
            self.shares,
            self.fixed_s,
            self.samples / own_rate if known else math.nan,
            self.unloaded_step_s,
        )

    def value(self, of: Callable[[Findings], float | None]) -> float:
        """A number of the findings; NaN where there are no findings, or it is `None`.

        Args:
            of: Takes the number from the findings.
        """
        return math.nan if self.findings is None else number(of(self.findings))

    def compile_value(self, of: Callable[[Compilation], float | None]) -> float:
        """A number of what was compiled; NaN in eager cases.

        Args:
            of: Takes the number from what was compiled.
        """
        return math.nan if self.compilation is None else number(of(self.compilation))


def share(laps: Tracks, phase: str) -> float:
    """A phase's share of the total time of the steps."""
    total = float(laps[STEP].sum())
    return float(laps[phase].sum()) / total if total > 0 else math.nan


def number(value: object) -> float:
    """A finite number as it is; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    return float(value) if abs(value) <= sys.float_info.max else math.nan


def varying(axis_names: Iterable[str], measurements: Iterable[Measurement]) -> tuple[str, ...]:
    """The axes on which cases differ, in order; of cases without a file none is known.

    Args:
        axis_names: The axes, in order.
        measurements: The cases.
    """
    known = [m.axes for m in measurements if m.axes]
    return tuple(name for name in axis_names if len({str(axes.get(name)) for axes in known}) > 1)
