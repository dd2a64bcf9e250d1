"""Estimates and confidence intervals: pure functions of arrays.

The module imports nothing heavier than NumPy and `scipy.special`, because a measurement uses it,
too.
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
    """An estimate with a confidence interval, both in the same unit.

    Attributes:
        value: The estimate.
        low: The interval's lower end; NaN if there are too few samples for an interval.
        high: The interval's upper end; NaN if `low` is.
    """

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval's width, in the estimate's unit; NaN without an interval."""
        return (self.high - self.low) / 2

    @property
    def relative_half_width(self) -> float:
        """Half the interval's width as a share of the estimate; NaN without an interval."""
        return self.half_width / self.value if self.value else math.nan


UNKNOWN = Interval(math.nan, math.nan, math.nan)
"""The estimate of a quantity that was not measured: all NaN."""

MAX_LOG = 300.0
"""The greatest logarithm of an interval's end; with two samples an end may be beyond any float."""


def point(value: float) -> Interval:
    """An estimate without an interval: both ends are NaN."""
    return Interval(value, math.nan, math.nan)


def finite_or_none(number: float) -> float | None:
    """Replaces NaN and infinity, which JSON lacks, by `None`."""
    return number if math.isfinite(number) else None


def median_interval(samples: ArrayLike, confidence: float = 0.95) -> Interval:
    """The median, with the exact interval between two order statistics.

    The number of n independent samples below the true median follows the binomial distribution with
    n and 1/2, whatever the distribution of the samples (Conover, Practical Nonparametric
    Statistics, 3rd ed., section 3.2). With fewer than 6 samples there is no 95 % interval.

    Args:
        samples: At least one, in any order.
        confidence: The minimum probability that the interval holds the true median.

    Raises:
        ValueError: There are no samples, or one is not a finite number.
    """
    ordered = np.sort(np.asarray(samples, dtype=np.float64))
    count = len(ordered)
    # NaN and infinity sort to the ends.
    if not count or not math.isfinite(ordered[-1]) or not math.isfinite(ordered[0]):
        raise ValueError("a median needs at least one sample, and all samples must be finite")
    median = float(ordered[(count - 1) // 2] + ordered[count // 2]) / 2
    rank = _lower_rank(count, confidence)
    if rank is None:
        return point(median)
    return Interval(median, float(ordered[rank]), float(ordered[-1 - rank]))


@lru_cache(maxsize=4096)
def _lower_rank(count: int, confidence: float) -> int | None:
    """The lower end's index among `count` ordered samples; the upper end's counts from the top.

    The interval from rank r to n-1-r, counted from 0, misses the median with probability
    2 P(B <= r), where B is binomial with n and 1/2. The index is the highest r for which this is at
    most 1 - confidence; `None` if there is none.
    """
    miss = (1 - confidence) / 2
    ranks = bisect_right(range(count // 2), miss, key=lambda r: float(special.bdtr(r, count, 0.5)))
    return ranks - 1 if ranks else None


def mean_interval(samples: ArrayLike, confidence: float = 0.95) -> Interval:
    """The mean, with Student's t interval.

    Args:
        samples: Finite numbers, at least one; with one there is no interval.
        confidence: The probability that the interval holds the true mean, for normal samples.

    Raises:
        ValueError: There are no samples, or one is not a finite number.
    """
    values = np.asarray(samples, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ValueError("a mean needs at least one sample, and all samples must be finite")
    count, mean = len(values), float(values.mean())
    if count == 1:
        return point(mean)
    error = float(values.std(ddof=1)) / math.sqrt(count)
    half_width = float(special.stdtrit(count - 1, (1 + confidence) / 2)) * error
    return Interval(mean, mean - half_width, mean + half_width)


def exponential(logs: Interval) -> Interval:
    """The interval of a positive quantity, from that of its logarithm.

    Ends beyond `MAX_LOG` are shortened to it.
    """
    return Interval(
        *(
            end if math.isnan(end) else math.exp(max(-MAX_LOG, min(MAX_LOG, end)))
            for end in (logs.value, logs.low, logs.high)
        )
    )


def ratio_interval(numerator: Interval, denominator: Interval) -> Interval:
    """The ratio of two independent positive estimates, with an interval from theirs.

    The method is variance estimates recovery (MOVER) on logarithms: Donner and Zou, Closed-form
    confidence intervals for functions of the normal mean and standard deviation, Statistical
    Methods in Medical Research 21 (2012).

    Args:
        numerator: An estimate, such as the median step of the uncompiled case.
        denominator: An estimate, such as the median step of the compiled case. The intervals of
            both arguments have the same confidence.

    Returns:
        The ratio and an interval of the same confidence. The ends are NaN if an argument has no
        interval or one that reaches 0; all fields are NaN if an estimate is not positive.
    """
    if not (numerator.value > 0 and denominator.value > 0):
        return UNKNOWN
    ratio = numerator.value / denominator.value
    if not (numerator.low > 0 and denominator.low > 0):
        return point(ratio)
    below = math.hypot(
        math.log(numerator.value / numerator.low), math.log(denominator.high / denominator.value)
    )
    above = math.hypot(
        math.log(numerator.high / numerator.value), math.log(denominator.value / denominator.low)
    )
    return Interval(ratio, ratio * math.exp(-below), ratio * math.exp(above))


def geometric_mean(ratios: ArrayLike) -> float:
    """The geometric mean, which suits ratios: that of 2 and 1/2 is 1.

    Args:
        ratios: Positive numbers, at least one.

    Raises:
        ValueError: There are no ratios, or one is not positive.
    """
    values = np.asarray(ratios, dtype=np.float64)
    if not values.size or not (values > 0).all():
        raise ValueError(
            "a geometric mean needs at least one ratio, and all ratios must be positive"
        )
    return math.exp(float(np.log(values).mean()))
