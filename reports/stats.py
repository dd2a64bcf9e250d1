"""Estimates and intervals: pure functions of arrays.

Nothing heavier than NumPy and `scipy.special` is imported: this is also what tells a measurement,
between two blocks, whether it may stop.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval, in the unit of what was estimated.

    Attributes:
        value: The estimate.
        low: The interval's lower end; NaN where too few samples give none.
        high: Its upper end.
    """

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval's width, in the estimate's unit; NaN where there is none."""
        return (self.high - self.low) / 2

    @property
    def relative_half_width(self) -> float:
        """Half the interval's width as a share of the estimate; NaN where there is none."""
        return self.half_width / self.value if self.value else math.nan


UNKNOWN = Interval(math.nan, math.nan, math.nan)
"""What was not measured."""


def median_interval(samples: ArrayLike, confidence: float = 0.95) -> Interval:
    """The median, with the exact interval between two order statistics.

    How many of n independent samples lie below the true median follows the binomial distribution
    with n and 1/2, whatever the samples' own distribution (Conover, Practical Nonparametric
    Statistics, 3rd ed., section 3.2). With fewer than 6 samples there is no 95 % interval.

    Args:
        samples: At least one, in any order.
        confidence: How often such an interval holds the true median, at least.

    Raises:
        ValueError: There are no samples, or one is not a finite number.
    """
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    count = len(ordered)
    # NaN and infinity sort to the ends.
    if not count or not math.isfinite(ordered[-1]) or not math.isfinite(ordered[0]):
        raise ValueError("a median needs at least one sample, and finite ones")
    median = float(ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    rank = _lower_rank(count, confidence)
    if rank is None:
        return Interval(median, math.nan, math.nan)
    return Interval(median, float(ordered[rank]), float(ordered[-1 - rank]))


@lru_cache(maxsize=4096)
def _lower_rank(count: int, confidence: float) -> int | None:
    """The lower end's index among `count` ordered samples; the upper end's counts from the top.

    The interval from rank r to n-1-r, counted from 0, misses the median with probability
    2 P(B <= r), where B is binomial with n and 1/2: the highest r that keeps it low enough is best.
    """
    miss = (1 - confidence) / 2
    fit = bisect_right(range(count // 2), miss, key=lambda r: float(special.bdtr(r, count, 0.5)))
    return fit - 1 if fit else None


def ratio_interval(numerator: Interval, denominator: Interval) -> Interval:
    """The ratio of two independent positive estimates, from their own intervals.

    The method of variance estimates recovery (MOVER) on the logarithms: Donner and Zou, Closed-form
    confidence intervals for functions of the normal mean and standard deviation, Statistical
    Methods in Medical Research 21 (2012).

    Args:
        numerator: Such as the median step of the eager twin.
        denominator: Such as the median step of a case. Both have the same confidence.

    Returns:
        The ratio and its interval, of the confidence that both have; its ends are NaN where one of
        the two has no interval or one that reaches down to 0, and all of it is NaN where an
        estimate is not positive.
    """
    if not (numerator.value > 0 and denominator.value > 0):
        return UNKNOWN
    ratio = numerator.value / denominator.value
    if not (numerator.low > 0 and denominator.low > 0):
        return Interval(ratio, math.nan, math.nan)
    below = math.hypot(
        math.log(numerator.value / numerator.low), math.log(denominator.high / denominator.value)
    )
    above = math.hypot(
        math.log(numerator.high / numerator.value), math.log(denominator.value / denominator.low)
    )
    return Interval(ratio, ratio * math.exp(-below), ratio * math.exp(above))


def geometric_mean(ratios: ArrayLike) -> float:
    """The mean that suits ratios: of 2 and 1/2 it is 1.

    Args:
        ratios: Positive; at least one.

    Raises:
        ValueError: There are none, or one is not positive.
    """
    values = np.asarray(ratios, dtype=np.float64)
    if not values.size or not (values > 0).all():
        raise ValueError("a geometric mean needs at least one ratio, and positive ones")
    return math.exp(float(np.log(values).mean()))
