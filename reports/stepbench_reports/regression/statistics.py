"""The statistics of the gate: pure functions of arrays.

A *change* is one pair's difference between head and base in a row, as a share of the step; above 0
where head is slower. It changes its sign, and nothing else, if the sides are swapped: so, where
they are alike, changes are symmetric about 0, which is all that the exact tests here ask for.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from stepbench_reports.analysis.stats import UNKNOWN, Interval

Key = TypeVar("Key")
ERROR = 0.01
"""How often the screen may be wrong in either direction, about."""
LEAST_PAIRS = 6
"""How many pairs a row is screened by at least: as many as a 95 % interval needs."""
MOST_PAIRS = 24
"""How many at most."""
USUAL_SPREAD, USUAL_PAIRS = 0.015, 4
"""The spread of changes that is usual on a shared machine, and how many pairs it counts for beside
those that were taken: a handful of pairs that lie close together by chance prove no precision."""
POWER = 0.98
"""How often the confirmation should see a slowdown of the smallest effect that is looked for."""
ALPHA = 0.01
"""How often a whole check may raise a false alarm, at most."""
MARGIN = 0.005
"""A slowdown of no more than this share of the step is none."""


class Screened(StrEnum):
    """What the screen says of a row."""

    CLEAR = "clear"
    SLOWER = "slower"
    FASTER = "faster"
    UNDECIDED = "undecided"
    """More pairs may tell."""
    TOO_NOISY = "too noisy"
    """As many pairs as a row is given do not tell."""


def spread(changes: ArrayLike) -> float:
    """The standard deviation of changes, drawn towards what is usual while they are few."""
    values = np.asarray(changes, dtype=np.float64)
    deviations = float(((values - values.mean()) ** 2).sum()) if values.size else 0.0
    known = USUAL_PAIRS * USUAL_SPREAD**2 + deviations
    return math.sqrt(known / (USUAL_PAIRS + max(0, values.size - 1)))


def screen(changes: ArrayLike, smallest: float, most: int = MOST_PAIRS) -> Screened:
    """A row's standing: what was decided about it first, after however many pairs.

    Args:
        changes: In the order in which they were taken.
        smallest: The smallest effect that is looked for, a share of the step.
        most: How many pairs the row is given at most.
    """
    values = np.asarray(changes, dtype=np.float64)
    for count in range(LEAST_PAIRS, values.size + 1):
        found = _after(values[:count], smallest, most)
        if found is not Screened.UNDECIDED:
            return found
    return Screened.UNDECIDED


def _after(values: NDArray[np.float64], smallest: float, most: int) -> Screened:
    """What some pairs say.

    Two of Wald's sequential probability ratio tests: no change against one of the smallest effect
    that is looked for, in either direction (Wald, Sequential Analysis, 1947, chapter 3), with the
    spread as it is known so far. What it flags is measured again, so its errors cost time, or
    power, and never a false alarm. After the last pair the likelier of the two is flagged all the
    same; a row whose spread would need more pairs than it is given is not waited for.
    """
    count = values.size
    variance = spread(values) ** 2
    bound = math.log((1 - ERROR) / ERROR)
    last, hopeless = count >= most, 2 * bound * variance / smallest**2 > most
    ratios = {
        word: smallest / variance * (direction * float(values.sum()) - count * smallest / 2)
        for word, direction in ((Screened.SLOWER, 1.0), (Screened.FASTER, -1.0))
    }
    likelier = max(ratios, key=lambda word: ratios[word])
    if ratios[likelier] > (0.0 if last else bound):
        return likelier
    if ratios[likelier] <= -bound:
        return Screened.CLEAR
    if not (last or hopeless):
        return Screened.UNDECIDED
    seen = centre(values)  # a change may be too large to be of one size, and be plain all the same
    if seen.low > smallest:
        return Screened.SLOWER
    return Screened.FASTER if seen.high < -smallest else Screened.TOO_NOISY


def pairs_to_confirm(changes: ArrayLike, smallest: float, rows: int, most: int = MOST_PAIRS) -> int:
    """How many fresh pairs the confirmation of a flagged row takes.

    Fixed before they are taken, from the screen's pairs, which are not used again. Enough for the
    smallest p-value there is to pass, and for the effect to be seen by the test's normal
    approximation (the signed-rank test has 3/pi of the t-test's efficiency): the smallest one that
    is looked for, or what the screen leaves no doubt of, if that is more.

    Args:
        changes: Of the screen.
        smallest: The smallest effect, a share of the step.
        rows: How many rows are confirmed together.
        most: How many pairs the row is given at most, unless the test itself needs more.
    """
    level = ALPHA / rows
    least = math.ceil(-math.log2(level)) + 1
    seen = centre(changes)
    sure = max(seen.low, -seen.high) if math.isfinite(seen.low) else 0.0
    wanted = float(special.ndtri(1 - level) + special.ndtri(POWER))
    needed = (wanted * spread(changes) / (max(smallest, sure) - MARGIN)) ** 2 * math.pi / 3
    return max(least, min(math.ceil(needed) + 2, most))


def p_slower(changes: ArrayLike) -> float:
    """The exact signed-rank p-value that a row is not slower by more than `MARGIN`.

    Wilcoxon, Individual comparisons by ranking methods, 1945.
    """
    values = np.asarray(changes, dtype=np.float64) - MARGIN
    if not values.size:
        return 1.0
    found = stats.wilcoxon(values, alternative="greater", method="exact")
    return float(found.pvalue)


def p_faster(changes: ArrayLike) -> float:
    """Likewise that a row is not faster."""
    return p_slower(-np.asarray(changes, dtype=np.float64))


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """P-values that hold for all rows together.

    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6 (1979).
    """
    adjusted: dict[Key, float] = {}
    highest = 0.0
    ordered = sorted(p_values, key=lambda row: p_values[row])
    for rank, row in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - rank) * p_values[row]))
        adjusted[row] = highest
    return adjusted


def centre(changes: ArrayLike, confidence: float = 0.95) -> Interval:
    """The Hodges-Lehmann estimate of changes, with the exact interval of the signed-rank test.

    The median of the means of all pairs of changes; the interval lies between two of these means
    (Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 3rd ed., section 3.2 and 3.3).
    With fewer than 6 changes there is no 95 % interval.
    """
    values = np.asarray(changes, dtype=np.float64)
    if not values.size:
        return UNKNOWN
    first, second = np.triu_indices(values.size)
    means = np.sort((values[first] + values[second]) / 2)
    tails = np.cumsum(_signed_ranks(values.size))
    rank = int(np.searchsorted(tails, (1 - confidence) / 2, side="right"))
    estimate = float(np.median(means))
    if rank == 0:
        return Interval(estimate, math.nan, math.nan)
    return Interval(estimate, float(means[rank - 1]), float(means[-rank]))


def _signed_ranks(count: int) -> NDArray[np.float64]:
    """The probability of each signed-rank sum, from 0 up, of so many symmetric values."""
    chances = np.ones(1)
    for rank in range(1, count + 1):
        step = np.zeros(rank + 1)
        step[[0, rank]] = 0.5
        chances = np.convolve(chances, step)
    return chances
