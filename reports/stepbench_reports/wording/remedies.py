"""Remedies for a bottleneck that make sense for the case, and that the run has not refuted."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stepbench_reports.analysis.bottleneck import Bottleneck, BottleneckKind
from stepbench_reports.analysis.stats import Interval
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.axes import AxisValue


@dataclass(frozen=True)
class Remedy:
    """A remedy for a bottleneck.

    Attributes:
        words: The remedy in a few words.
        axis: The axis on which the remedy changes the case; empty if it changes none.
        target: The value that the remedy leads to, if it is a single one.
        changes: Takes the case's value on that axis and another value; true if the remedy leads
            from the one to the other.
        opposite: The same for the change in the opposite direction.
        proven: True if the remedy is offered only where the run has shown that it helps.
        predicted: Predicts the speed-up by the remedy; NaN if unknown. If it is below 1, the remedy
            is offered only where the run has shown that it helps.
    """

    words: str
    axis: str = ""
    target: AxisValue | None = None
    changes: Callable[[Any, Any], bool] = lambda _, __: True
    opposite: Callable[[Any, Any], bool] = lambda _, __: False
    proven: bool = False
    predicted: Callable[[Bottleneck], float] = lambda _: math.nan

    def makes_sense(self, measurement: Measurement) -> bool:
        """False if the case already has what the remedy would change it to."""
        if not self.axis or self.axis not in measurement.axes:
            return True
        return self.target is None or self.changes(measurement.axes[self.axis], self.target)

    def holds_in(self, run: Run, measurement: Measurement) -> bool:
        """False if the run has refuted the remedy, or has not proven one that it must prove.

        It is refuted if every case that has it is clearly slower or trains another model, or if a
        case with the opposite is clearly faster.
        """
        own = measurement.axes.get(self.axis)
        tried = []
        for other in run.neighbours(measurement, self.axis):
            if other.parity.failed and self.changes(own, other.axes[self.axis]):
                tried.append(_OF_NO_USE)
            if not other.counts:
                continue
            ratio = run.ratio_of(other, measurement).interval
            if self.changes(own, other.axes[self.axis]):
                tried.append(ratio)
            elif self.opposite(own, other.axes[self.axis]) and ratio.low > 1:
                return False
        bottleneck = measurement.bottleneck
        if self.proven or (bottleneck is not None and self.predicted(bottleneck) < 1):
            return any(ratio.low > 1 for ratio in tried)
        return not tried or any(not ratio.high < 1 for ratio in tried)


def _more(own: Any, other: Any) -> bool:  # noqa: ANN401  # values of an axis
    return bool(other > own)


def _fewer(own: Any, other: Any) -> bool:  # noqa: ANN401
    return bool(other < own)


def _to(target: AxisValue, *equivalents: AxisValue) -> Callable[[Any, Any], bool]:
    return lambda own, other: other == target and own not in {target, *equivalents}


_OF_NO_USE = Interval(0.0, 0.0, 0.0)
"""The speed-up by what trains another model."""
_BF16 = Remedy("--precision bf16", "precision", "bf16", _to("bf16", "fp16"))
_COMPILE = Remedy(
    "--compile default",
    "compile",
    "default",
    lambda own, other: own == "off" and other == "default",
)
_LARGER_BATCH = Remedy("a larger --batch-size", "batch_size", changes=_more)
_COMPUTE = (Remedy("a smaller model"), _BF16, Remedy("a faster device"))
_LOADING = (Remedy("cheaper transforms"), Remedy("data in memory"))
REMEDIES: Mapping[BottleneckKind, tuple[Remedy, ...]] = {
    BottleneckKind.DATA: (
        Remedy("more --num-workers", "num_workers", changes=_more, opposite=_fewer),
        Remedy("fewer --num-workers", "num_workers", changes=_fewer, proven=True),
        *_LOADING,
    ),
    BottleneckKind.WORKERS: (
        Remedy(
            "fewer --num-workers",
            "num_workers",
            changes=_fewer,
            opposite=_more,
            predicted=lambda bottleneck: bottleneck.gain_without_workers().value,
        ),
        *_LOADING,
    ),
    BottleneckKind.TRANSFER: (
        Remedy("--pin-memory on", "pin_memory", True, _to(True)),
        Remedy("--non-blocking on", "non_blocking", True, _to(True)),
        Remedy("fewer bytes per sample"),
    ),
    BottleneckKind.FIXED: (_LARGER_BATCH, _COMPILE, Remedy("fewer and larger operators")),
    BottleneckKind.COMPUTE: _COMPUTE,
    BottleneckKind.COMPUTE_OR_FIXED: (*_COMPUTE, _LARGER_BATCH, _COMPILE),
    BottleneckKind.OPTIMIZER: (
        Remedy("a fused or foreach implementation"),
        Remedy("fewer trained parameters"),
        Remedy("a higher --accumulate", "accumulate", changes=_more),
    ),
}
"""The remedies for each kind of bottleneck."""


def sentence(run: Run, measurement: Measurement, kind: BottleneckKind) -> str:
    """Lists the remedies for a case's bottleneck; empty if there are none.

    Args:
        run: The run, whose other cases may have refuted a remedy.
        measurement: The case.
        kind: The bottleneck.
    """
    words = [
        remedy.words
        for remedy in REMEDIES[kind]
        if remedy.makes_sense(measurement) and remedy.holds_in(run, measurement)
    ]
    return f" Remedies: {', '.join(words)}." if words else ""
