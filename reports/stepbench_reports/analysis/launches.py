"""Launch overhead: the fixed cost of forward and backward, and what the device's work hides of it.

With t(b) the time of a phase on a batch of b samples, each sample costs (t(B) - t(b)) / (B - b), so
the fixed cost is t(b) - b (t(B) - t(b)) / (B - b).

On a synchronous device (the CPU) every step pays for the fixed cost. An asynchronous device works
while the host launches. If a phase takes longer on more samples, the device is slower than the
host, which is ahead of it: the host's launches then take no time of the step.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

HIDDEN_ABOVE = 1.1
"""Launches are hidden if the whole batch takes more than this times as long as a tiny one."""


@dataclass(frozen=True)
class Launches:
    """The launch overhead of a phase.

    Attributes:
        exposed_s: The part that adds to the step, seconds; NaN if unknown.
        hidden_s: The part that the device's work hides, seconds; NaN if unknown.
    """

    exposed_s: float
    hidden_s: float = 0.0


@dataclass(frozen=True)
class FixedCost:
    """A phase's fixed cost, with the times that it was extrapolated from.

    Attributes:
        fixed_s: The time on a batch of no samples, seconds; NaN if unknown.
        full_s: The time on a whole batch, seconds.
        tiny_share: The size of the tiny batch as a share of the whole batch's.
    """

    fixed_s: float
    full_s: float
    tiny_share: float

    @property
    def tiny_s(self) -> float:
        """The time on a tiny batch, seconds: the inverse of `fixed_cost_s`."""
        return self.fixed_s + self.tiny_share * (self.full_s - self.fixed_s)


def fixed_cost_s(tiny_s: float, full_s: float, tiny_size: int, full_size: int) -> float:
    """The time of a phase on a batch of no samples, seconds; at least 0.

    Args:
        tiny_s: The time on a tiny batch, seconds.
        full_s: The time on a whole batch, seconds.
        tiny_size: The number of samples in the tiny batch.
        full_size: The number of samples in the whole batch; more than in the tiny one.
    """
    return max(0.0, tiny_s - tiny_size * (full_s - tiny_s) / (full_size - tiny_size))


def asynchronous(costs: Mapping[str, FixedCost]) -> dict[str, Launches]:
    """The launches of each phase on an asynchronous device: either all exposed, or all hidden.

    Each phase is judged by itself. But if a phase takes less time on a whole batch than on a tiny
    one, its launches began during the device's work of another phase. Then the sum is judged.

    Args:
        costs: The fixed costs by phase, from times by the device's clock.
    """
    if any(math.isnan(cost.fixed_s) for cost in costs.values()):
        return dict.fromkeys(costs, Launches(math.nan, math.nan))
    hidden = {phase: _longer(cost.full_s, cost.tiny_s) for phase, cost in costs.items()}
    if any(_longer(cost.tiny_s, cost.full_s) for cost in costs.values()):
        full_s = sum(cost.full_s for cost in costs.values())
        tiny_s = sum(cost.tiny_s for cost in costs.values())
        hidden = dict.fromkeys(costs, _longer(full_s, tiny_s))
    return {
        phase: Launches(0.0, cost.fixed_s) if hidden[phase] else Launches(cost.fixed_s)
        for phase, cost in costs.items()
    }


def _longer(seconds: float, reference_s: float) -> bool:
    """True if a time is longer than another by more than measurements differ by chance."""
    return seconds > HIDDEN_ABOVE * reference_s
