"""What bounds a case: which part of its step takes longest, and what lifting it could give at best.

Pure functions of a case's figures. A step is split into parts by the laps of its phases; forward
and backward are split further into the launch overhead, which they have with next to no data, and
the rest, which is computing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from stepbench_reports.schema.phases import Phase

CLOSE = 0.10
"""Two parts that differ by less than this share of the step bound it together."""


class BottleneckKind(StrEnum):
    """What a step may be bound by, in words."""

    DATA = "data"
    """Waiting for the loader; without workers, making the batch."""
    TRANSFER = "transfer"
    """Moving the batch to the device."""
    LAUNCH = "launch overhead"
    """What forward and backward cost before there is data: Python, dispatch, kernel launches."""
    COMPUTE = "compute"
    """The rest of forward and backward: arithmetic, and moving data between memory and cores."""
    COMPUTE_OR_LAUNCH = "compute or launch overhead"
    """Forward and backward, where their launch overhead is not known."""
    OPTIMIZER = "optimizer"
    """The optimizer's step and clearing the gradients."""

    @property
    def short(self) -> str:
        """A word for a narrow column."""
        return _SHORT.get(self, str(self))


_SHORT = {
    BottleneckKind.TRANSFER: "transf.",
    BottleneckKind.LAUNCH: "launch",
    BottleneckKind.COMPUTE_OR_LAUNCH: "comp./launch",
    BottleneckKind.OPTIMIZER: "optim.",
}


@dataclass(frozen=True)
class Bottleneck:
    """What bounds a step.

    Attributes:
        step_s: The mean step, seconds.
        parts: Seconds of it by kind, the longest first.
        loader_step_s: How long the loader, by itself, takes for a step's batches where it works
            ahead; NaN where it does not, or is not known.
        unloaded_step_s: What the step took with one batch again and again; NaN where not known.
    """

    step_s: float
    parts: Mapping[BottleneckKind, float]
    loader_step_s: float = math.nan
    unloaded_step_s: float = math.nan

    @property
    def kinds(self) -> tuple[BottleneckKind, ...]:
        """The kind of the longest part, and the second's where it is close to it."""
        (first, longest_s), *others = self.parts.items()
        if others and longest_s - others[0][1] < CLOSE * self.step_s:
            return first, others[0][0]
        return (first,)

    @property
    def share(self) -> float:
        """The longest part's share of the step."""
        return self.share_of(self.kinds[0])

    @property
    def best_step_s(self) -> float:
        """What the step could become at best, if the first kind were lifted entirely."""
        return self.best_without(self.kinds[0])

    @property
    def gain(self) -> float:
        """How many times as fast the step would be then."""
        return self.gain_without(self.kinds[0])

    def share_of(self, kind: BottleneckKind) -> float:
        """A part's share of the step."""
        return self.parts[kind] / self.step_s

    def best_without(self, kind: BottleneckKind) -> float:
        """The step without one part, seconds; no shorter than the loader takes for its batches.

        Without data it is what was measured with nothing to load, where that is known: the rest of
        a step that waits may well be slower than it is without the waiting. A loader that took
        longer by itself than the whole step does in training was measured too slow, and says
        nothing.
        """
        if kind is BottleneckKind.DATA and not math.isnan(self.unloaded_step_s):
            return min(self.unloaded_step_s, self.step_s)
        rest_s = max(0.0, self.step_s - self.parts[kind])
        return self.loader_step_s if self.loader_limits(kind) else rest_s

    def loader_limits(self, kind: BottleneckKind) -> bool:
        """Whether the loader would be what bounds the step, if another kind were lifted."""
        rest_s = self.step_s - self.parts[kind]
        return kind is not BottleneckKind.DATA and rest_s < self.loader_step_s <= self.step_s

    def gain_without(self, kind: BottleneckKind) -> float:
        """How many times as fast the step would be without one part; infinity if it is all."""
        best_s = self.best_without(kind)
        return self.step_s / best_s if best_s > 0 else math.inf


def find(
    step_s: float,
    shares: Mapping[str, float],
    fixed_s: float,
    loader_step_s: float = math.nan,
    unloaded_step_s: float = math.nan,
) -> Bottleneck | None:
    """What bounds a case; `None` where its figures do not tell.

    Args:
        step_s: The mean step, seconds.
        shares: Each phase's share of the steps' total time.
        fixed_s: What forward and backward of a whole step take with next to no data, seconds; NaN
            where it is not known.
        loader_step_s: How long the loader, by itself and working ahead, takes for the batches of a
            step, seconds; NaN where it does not work ahead, or is not known.
        unloaded_step_s: What the step took with one batch again and again; NaN where not known.
    """
    parts = {
        BottleneckKind.DATA: shares.get(Phase.DATALOAD, 0.0) * step_s,
        BottleneckKind.TRANSFER: shares.get(Phase.TRANSFER, 0.0) * step_s,
        **_passes(
            step_s * (shares.get(Phase.FORWARD, 0.0) + shares.get(Phase.BACKWARD, 0.0)), fixed_s
        ),
        BottleneckKind.OPTIMIZER: shares.get(Phase.OPTIMIZER, 0.0) * step_s,
    }
    known = {kind: seconds for kind, seconds in parts.items() if seconds > 0}
    if not known or not step_s > 0:
        return None
    ordered = sorted(known.items(), key=lambda part: part[1], reverse=True)
    return Bottleneck(step_s, dict(ordered), loader_step_s, unloaded_step_s)


def _passes(passes_s: float, fixed_s: float) -> dict[BottleneckKind, float]:
    """Forward and backward, split where their launch overhead is known."""
    if math.isnan(fixed_s):
        return {BottleneckKind.COMPUTE_OR_LAUNCH: passes_s}
    launch_s = min(fixed_s, passes_s)
    return {BottleneckKind.LAUNCH: launch_s, BottleneckKind.COMPUTE: passes_s - launch_s}
