"""Estimates and intervals: pure functions of arrays."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


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
    def relative_half_width(self) -> float:
        """Half the interval's width as a share of the estimate; NaN where there is none."""
        return (self.high - self.low) / 2 / self.value if self.value else math.nan


def median_interval(samples: ArrayLike, confidence: float = 0.95) -> Interval:
    """The median, with the exact interval between two order statistics.

    How many of n independent samples lie below the true median follows the binomial distribution
    with n and 1/2, whatever the samples' own distribution (Conover, Practical Nonparametric
    Statistics, 3rd ed., section 3.2). With fewer than 6 samples there is no 95 % interval.

    Args:
        samples: At least one, in any order.
        confidence: How often such an interval holds the true median, at least.

    Raises:
        ValueError: There are no samples.
    """
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    if not len(ordered):
        raise ValueError("a median needs at least one sample")
    rank = _lower_rank(len(ordered), confidence)
    median = float(np.median(ordered))
    if rank is None:
        return Interval(median, math.nan, math.nan)
    return Interval(median, float(ordered[rank]), float(ordered[-1 - rank]))


@lru_cache(maxsize=4096)
def _lower_rank(count: int, confidence: float) -> int | None:
    """The lower end's index among `count` ordered samples; the upper end's counts from the top."""
    rank = int(stats.binom.ppf((1 - confidence) / 2, count, 0.5)) - 1
    # The interval of ranks r and n-1-r (from 0) misses with probability 2 P(B <= r).
    while rank + 1 < count // 2 and 2 * stats.binom.cdf(rank + 1, count, 0.5) <= 1 - confidence:
        rank += 1
    return rank if rank >= 0 and 2 * stats.binom.cdf(rank, count, 0.5) <= 1 - confidence else None


def ratio_interval(numerator: Interval, denominator: Interval) -> Interval:
    """The ratio of two independent positive estimates, from their own intervals.

    The method of variance estimates recovery (MOVER) on the logarithms: Donner and Zou, Closed-form
    confidence intervals for functions of the normal mean and standard deviation, Statistical
    Methods in Medical Research 21 (2012).
    """
    if denominator.value <= 0 or numerator.value <= 0:
        return Interval(math.nan, math.nan, math.nan)
    ratio = numerator.value / denominator.value
    if min(numerator.low, denominator.low) <= 0:
        return Interval(ratio, math.nan, math.nan)
    below = math.hypot(
        math.log(numerator.value / numerator.low), math.log(denominator.high / denominator.value)
    )
    above = math.hypot(
        math.log(numerator.high / numerator.value), math.log(denominator.value / denominator.low)
    )
    return Interval(ratio, ratio * math.exp(-below), ratio * math.exp(above))


def geometric_mean(ratios: ArrayLike) -> float:
    """The mean that suits ratios: of 2 and 1/2 it is 1."""
    return float(stats.gmean(np.asarray(ratios, dtype=np.float64)))
