"""The rule that drops a pair: other processes met one of its sides more than the opposite side.

A steady neighbour meets both sides alike, and only widens the interval. The rule looks at the work
of others, which neither the sides' speed nor their own threads change, so it is blind to a pair's
result. Both sides are always dropped together.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stepbench_reports.schema.check import SideName, TurnSeries

MAX_OTHERS_DIFFERENCE = 0.10
"""The largest difference between the sides in the share of the cores' time that other processes
and the hypervisor took."""
MAX_THROTTLED_DIFFERENCE = 0.25
"""The largest difference between the sides in the share of turns with a throttled device."""


def interference_differs(turns: TurnSeries) -> bool:
    """True if interference differed too much between the sides of a pair."""
    taken = np.asarray(
        [
            (others or 0.0) + (steal or 0.0)
            for others, steal in zip(turns.others, turns.steal, strict=True)
        ]
    )
    throttled = np.asarray([reason is not None for reason in turns.throttled], dtype=np.float64)
    seconds = np.asarray(turns.elapsed_s)
    return bool(
        _difference(turns.side, taken, seconds) > MAX_OTHERS_DIFFERENCE
        or _difference(turns.side, throttled, np.ones_like(seconds)) > MAX_THROTTLED_DIFFERENCE
    )


def _difference(
    sides: Sequence[SideName], values: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    """The difference between the sides' weighted means."""
    of_base = np.asarray([side == "base" for side in sides])
    base, head = (
        float(np.average(values[chosen], weights=weights[chosen])) for chosen in (of_base, ~of_base)
    )
    return abs(head - base)
