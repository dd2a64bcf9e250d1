"""Estimates and confidence intervals: pure functions of arrays.

The module imports nothing heavier than NumPy and `scipy.special`, because a measurement uses it,
too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

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


def mean_interval(
    samples: ArrayLike, confidence: float = 0.95, max_degrees: float = math.inf
) -> Interval:
    """The mean, with Student's t interval.

    Args:
        samples: Finite numbers, at least one; with one there is no interval.
        confidence: The probability that the interval holds the true mean, for normal samples.
        max_degrees: The most degrees of freedom, if the number of samples allows more.

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
    degrees = min(count - 1, max_degrees)
    half_width = float(special.stdtrit(degrees, (1 + confidence) / 2)) * error
    return Interval(mean, mean - half_width, mean + half_width)


def sum_of_means(
    parts: Sequence[tuple[float, ArrayLike]],
    confidence: float = 0.95,
    max_degrees: float = math.inf,
) -> Interval:
    """The weighted sum of means of independent samples, with Student's t interval.

    The interval has as few degrees of freedom as the smallest sample allows.

    Args:
        parts: Each sample's weight, and the sample: finite numbers, at least one. If a sample has
            fewer than two there is no interval.
        confidence: The probability that the interval holds the sum of the true means.
        max_degrees: The most degrees of freedom, if the numbers of samples allow more.
    """
    samples = [np.asarray(values, dtype=np.float64) for _, values in parts]
    weights = [weight for weight, _ in parts]
    value = math.fsum(w * float(part.mean()) for w, part in zip(weights, samples, strict=True))
    smallest = min(part.size for part in samples)
    if smallest < 2:
        return point(value)
    variance = math.fsum(
        w**2 * float(part.var(ddof=1)) / part.size for w, part in zip(weights, samples, strict=True)
    )
    degrees = min(smallest - 1, max_degrees)
    half = float(special.stdtrit(degrees, (1 + confidence) / 2)) * math.sqrt(variance)
    return Interval(value, value - half, value + half)


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


def relative_spread(samples: ArrayLike) -> float:
    """The variation of four in five positive samples, up or down from their middle, as a share.

    It is the square root of the 90 % quantile / the 10 % quantile, less 1.

    Args:
        samples: Positive numbers; the spread of fewer than ten is NaN.
    """
    values = np.asarray(samples, dtype=np.float64)
    if len(values) < 10:
        return math.nan
    low, high = np.quantile(values, [0.1, 0.9])
    return math.sqrt(float(high / low)) - 1


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
