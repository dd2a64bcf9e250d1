"""What bounds a case: which part of its step takes longest, and what lifting it could give at best.

Pure functions of a case's figures. A step is split into parts by the laps of its phases; forward
and backward are split further into the launch overhead, which they have with next to no data, and
the rest, which is computing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

CLOSE = 0.10
"""Two parts that differ by less than this share of the step bound it together."""


class Kind(StrEnum):
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
    Kind.TRANSFER: "transf.",
    Kind.LAUNCH: "launch",
    Kind.COMPUTE_OR_LAUNCH: "comp./launch",
    Kind.OPTIMIZER: "optim.",
}


@dataclass(frozen=True)
class Bound:
    """What bounds a step.

    Attributes:
        step_s: The mean step, seconds.
        parts: Seconds of it by kind, the longest first.
        loader_step_s: How long the loader, by itself, takes for a step's batches where it works
            ahead; NaN where it does not, or is not known.
        unloaded_step_s: What the step took with one batch again and again; NaN where not known.
    """

    step_s: float
    parts: Mapping[Kind, float]
    loader_step_s: float = math.nan
    unloaded_step_s: float = math.nan

    @property
    def kinds(self) -> tuple[Kind, ...]:
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

    def share_of(self, kind: Kind) -> float:
        """A part's share of the step."""
        return self.parts[kind] / self.step_s

    def best_without(self, kind: Kind) -> float:
        """The step without one part, seconds; no shorter than the loader takes for its batches.

        Without data it is what was measured with nothing to load, where that is known: the rest of
        a step that waits may well be slower than it is without the waiting. A loader that took
        longer by itself than the whole step does in training was measured too slow, and says
        nothing.
        """
        if kind is Kind.DATA and not math.isnan(self.unloaded_step_s):
            return min(self.unloaded_step_s, self.step_s)
        rest_s = max(0.0, self.step_s - self.parts[kind])
        return self.loader_step_s if self.loader_limits(kind) else rest_s

    def loader_limits(self, kind: Kind) -> bool:
        """Whether the loader would be what bounds the step, if another kind were lifted."""
        rest_s = self.step_s - self.parts[kind]
        return kind is not Kind.DATA and rest_s < self.loader_step_s <= self.step_s

    def gain_without(self, kind: Kind) -> float:
        """How many times as fast the step would be without one part; infinity if it is all."""
        best_s = self.best_without(kind)
        return self.step_s / best_s if best_s > 0 else math.inf


def find(
    step_s: float,
    shares: Mapping[str, float],
    fixed_s: float,
    loader_step_s: float = math.nan,
    unloaded_step_s: float = math.nan,
) -> Bound | None:
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
        Kind.DATA: shares.get("dataload", 0.0) * step_s,
        Kind.TRANSFER: shares.get("transfer", 0.0) * step_s,
        **_passes(step_s * (shares.get("forward", 0.0) + shares.get("backward", 0.0)), fixed_s),
        Kind.OPTIMIZER: shares.get("optimizer", 0.0) * step_s,
    }
    known = {kind: seconds for kind, seconds in parts.items() if seconds > 0}
    if not known or not step_s > 0:
        return None
    ordered = sorted(known.items(), key=lambda part: part[1], reverse=True)
    return Bound(step_s, dict(ordered), loader_step_s, unloaded_step_s)


def _passes(passes_s: float, fixed_s: float) -> dict[Kind, float]:
    """Forward and backward, split where their launch overhead is known."""
    if math.isnan(fixed_s):
        return {Kind.COMPUTE_OR_LAUNCH: passes_s}
    launch_s = min(fixed_s, passes_s)
    return {Kind.LAUNCH: launch_s, Kind.COMPUTE: passes_s - launch_s}
