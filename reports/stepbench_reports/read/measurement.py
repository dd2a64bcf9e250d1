"""One case as its file tells it, and the figures that follow from it alone."""

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stepbench_reports.analysis import bottleneck, comparison
from stepbench_reports.analysis.stats import UNKNOWN, Interval, median_interval
from stepbench_reports.read.parity import UNKNOWN as NOT_COMPARED
from stepbench_reports.read.parity import Parity
from stepbench_reports.read.profile import UNKNOWN as NOT_PROFILED
from stepbench_reports.read.profile import Profile
from stepbench_reports.schema.axes import EAGER
from stepbench_reports.schema.phases import STEP, Phase
from stepbench_reports.schema.status import Status

CLOCKS = ("host", "device")
"""By whose clock laps are taken."""
DAMAGED = "damaged"
"""Our word for a case whose file cannot be read."""
NOT_MEASURED = "not measured"
"""Our word for a case that has no file."""

Laps: TypeAlias = Mapping[str, NDArray[np.float64]]
"""Seconds by phase, one for each step; `step` is the whole."""


@dataclass(frozen=True)
class Measurement:
    """All that one case gave.

    Attributes:
        id: The case's name.
        axes: Its value on each axis; empty where no file tells.
        status: As in the file, a `Status`, or `DAMAGED`, or `NOT_MEASURED`.
        reason: One sentence, where the status is not `Status.OK`.
        content: The file's other fields.
        laps: By clock; empty where the status is not `Status.OK`.
        micro_laps: Where a step has several micro-batches, the laps of each: arrays
            (steps, micro-batches) by phase, in seconds by `clock`.
        parity: Whether it trains the same model.
        profile: What profiling it found.
    """

    id: str
    axes: Mapping[str, Any]
    status: str
    reason: str | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    laps: Mapping[str, Laps] = field(default_factory=dict)
    micro_laps: Laps = field(default_factory=dict)
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
        return self.fact("noise", "disturbed") is True

    @property
    def loader_disturbed(self) -> bool:
        """Whether others on the machine disturbed the loader at every try to take its own rate."""
        return self.fact("loader", "disturbed") is True

    @property
    def watched_blocks(self) -> float:
        """How many blocks were watched for disturbance; NaN where unknown."""
        blocks = self.fact("noise", "blocks")
        return float(len(blocks)) if isinstance(blocks, list) else math.nan

    @property
    def isolated(self) -> bool:
        """Whether the device was waited for at every lap (`--sync-phases`)."""
        return self.fact("settings", "sync_phases") is True

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
        return comparison.mean_step(self._blocks, "bare")

    @cached_property
    def lapped_step(self) -> Interval:
        """The mean step in seconds over all lapped blocks."""
        return comparison.mean_step(self._blocks, "lapped")

    @property
    def mean_step(self) -> Interval:
        """The mean step in seconds.

        Loader waits come in bursts, which the median step does not see and the mean does. It is
        that of bare blocks where there are any, for laps cost them nothing.
        """
        return self.lapped_step if math.isnan(self.bare_step.value) else self.bare_step

    @property
    def _blocks(self) -> list[Mapping[str, Any]]:
        return self.entries("blocks") if self.ok else []

    @property
    def micro_batches(self) -> int:
        """How many batches a step goes through."""
        return int(self.axes.get("accumulate", 1))

    @property
    def samples(self) -> int:
        """How many samples a step goes through; one of the workload's own may take more batches."""
        told = self.figure("loader", "batches_a_step")
        batches = int(told) if told > 0 else self.micro_batches
        return int(self.axes["batch_size"]) * batches

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
        return self.figure("work", "flops") * self.micro_batches

    @property
    def bytes(self) -> float:
        """Bytes that the operators of forward and backward read and write in a whole step."""
        return self.figure("work", "bytes") * self.micro_batches

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
        passes = ["forward_s", "backward_s"] if Phase.BACKWARD in self.shares else ["forward_s"]
        return math.fsum(self.figure("fixed", name) for name in passes) * self.micro_batches

    @cached_property
    def bound(self) -> bottleneck.Bottleneck | None:
        """What bounds it; `None` where its figures do not tell."""
        if not self.ok:
            return None
        own_rate = self.figure("loader", "samples_per_s")
        ahead = number(self.axes.get("num_workers")) > 0 and own_rate > 0
        known = ahead and not self.loader_disturbed
        return bottleneck.find(
            self.mean_step.value,
            self.shares,
            self.fixed_s,
            self.samples / own_rate if known else math.nan,
            self.figure("loader", "unloaded_step_s"),
        )

    def fact(self, *path: str) -> Any:  # noqa: ANN401  # whatever JSON holds
        """A field of the file by its path; `None` where it is missing or `null` on the way."""
        value: Any = self.content
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def figure(self, *path: str) -> float:
        """A number of the file by its path; NaN where it is missing, `null` or no number."""
        return number(self.fact(*path))

    def about(self, *path: str) -> Mapping[str, Any]:
        """An object of the file by its path; empty where it is missing or `null`."""
        value = self.fact(*path)
        return value if isinstance(value, Mapping) else {}

    def entries(self, *path: str) -> list[Mapping[str, Any]]:
        """A list of objects of the file by its path; empty where it is missing or `null`."""
        value = self.fact(*path)
        entries = value if isinstance(value, list) else []
        return [each for each in entries if isinstance(each, Mapping)]


def share(laps: Laps, phase: str) -> float:
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
