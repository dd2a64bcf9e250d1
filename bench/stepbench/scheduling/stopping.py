"""The stop rule: how many generations a group is given (Stein's two stages).

After the first stage, the number still needed for the wanted precision is fixed from the variance
so far, and capped by the time (Stein, A two-sample test for a linear hypothesis whose power is
independent of the variance, Annals of Mathematical Statistics 16, 1945). There is no other look at
the results, which would make the intervals too narrow.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

CONFIDENCE = 0.95


def generations_needed(first_stage: Sequence[Sequence[float]], rel_error: float) -> int | None:
    """The number of generations for which every comparison is as precise as wanted.

    Args:
        first_stage: For each comparison its log ratio in each generation of the first stage.
        rel_error: The wanted half-width of a comparison's interval, as a share.

    Returns:
        The number; `None` if no comparison has the two generations that show its variance.
    """
    known = [np.asarray(ratios) for ratios in first_stage if len(ratios) >= 2]
    return max((_needed(ratios, rel_error) for ratios in known), default=None)


def _needed(ratios: np.ndarray[tuple[int], np.dtype[np.float64]], rel_error: float) -> int:
    # The second stage keeps the degrees of freedom of the first one.
    t = float(special.stdtrit(ratios.size - 1, (1 + CONFIDENCE) / 2))
    return math.ceil((t * float(ratios.std(ddof=1)) / math.log1p(rel_error)) ** 2)
