"""The ratio of two cases' throughputs or steps, paired by generation where the cases have some."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from stepbench_reports.analysis.generations import GenerationSteps, log_ratios
from stepbench_reports.analysis.stats import UNKNOWN, Interval, exponential, mean_interval, point
from stepbench_reports.read.measurement import Measurement

Of = Literal["samples_per_s", "step"]
"""The figures that a ratio compares: samples/s, or the durations of steps."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """The ratio of two cases.

    Attributes:
        interval: The ratio, with its interval; NaN ends if there are too few generations.
        paired: True if both cases took turns with each other, or each with a third case. Else the
            machine's drift between their measurements is in the ratio.
    """

    interval: Interval
    paired: bool


UNKNOWN_RATIO = Ratio(UNKNOWN, paired=False)
"""The ratio of cases of which one was not measured."""


def ratio(
    a: Measurement,
    b: Measurement,
    others: Iterable[Measurement] = (),
    *,
    of: Of = "samples_per_s",
    confidence: float = CONFIDENCE,
) -> Ratio:
    """Computes a / b.

    Args:
        a: A case.
        b: A case.
        others: The cases of the run, one of which may link `a` and `b` that took no turns with each
            other.
        of: `samples_per_s`, above 1 if `a` is faster; `step`, above 1 if `a` is slower.
        confidence: The probability with which the interval is to hold the ratio.
    """
    logs, paired = _log_ratio(a, b, others, confidence)
    if math.isnan(logs.value):
        return UNKNOWN_RATIO
    if of == "step":
        return Ratio(exponential(Interval(-logs.value, -logs.high, -logs.low)), paired)
    return Ratio(_samples_ratio(logs, math.log(a.samples / b.samples)), paired)


def unpaired_ratio(a: Measurement, b: Measurement) -> Interval:
    """Computes a / b in samples/s for cases of two runs, which took no turns with each other."""
    if not a.generations or not b.generations:
        return ratio(a, b).interval
    logs = _sum([-log for log in _logs(a.generations)], _logs(b.generations), CONFIDENCE)
    return _samples_ratio(logs, math.log(a.samples / b.samples))


def mean_ratio(pairs: Sequence[tuple[Measurement, Measurement]]) -> Interval:
    """The geometric mean of a / b in samples/s over several pairs of cases, with an interval.

    A generation that all pairs have in common is one sample. Without two such generations, there is
    no interval.
    """
    per_pair = [_by_generation(a, b) for a, b in pairs]
    factors = [math.log(a.samples / b.samples) for a, b in pairs]
    common = [key for key in per_pair[0] if all(key in ratios for ratios in per_pair)]
    if len(common) >= 2:
        means = [float(np.mean([ratios[key] for ratios in per_pair])) for key in common]
        logs = mean_interval(means, CONFIDENCE)
    else:
        values = [math.log(ratio(a, b, of="step").interval.value) for a, b in pairs]
        logs = point(-float(np.mean(values)))
    return _samples_ratio(logs, float(np.mean(factors)))


def _samples_ratio(logs: Interval, log_samples: float) -> Interval:
    """A ratio of samples/s, from the logs of the ratio of steps and of the samples in a step."""
    return exponential(Interval(*(end + log_samples for end in (logs.value, logs.low, logs.high))))


def _by_generation(a: Measurement, b: Measurement) -> dict[Hashable, float]:
    keys = [key for key in a.generations if key in b.generations]
    return dict(zip(keys, log_ratios(a.generations, b.generations), strict=True))


def _log_ratio(
    a: Measurement, b: Measurement, others: Iterable[Measurement], confidence: float
) -> tuple[Interval, bool]:
    """The log of b's step / a's, and whether it is paired."""
    if not a.generations or not b.generations:
        steps = (a.mean_step.value, b.mean_step.value)
        known = all(step > 0 for step in steps)
        return (point(math.log(steps[1] / steps[0])) if known else UNKNOWN), False
    paired = log_ratios(a.generations, b.generations)
    if paired:
        return mean_interval(paired, confidence), True
    for link in others:
        first = log_ratios(a.generations, link.generations)
        second = log_ratios(link.generations, b.generations)
        if first and second:
            return _sum(first, second, confidence), True
    return _sum([-log for log in _logs(a.generations)], _logs(b.generations), confidence), False


def _logs(generations: Mapping[Hashable, GenerationSteps]) -> list[float]:
    return [math.log(steps.all_s) for steps in generations.values()]


def _sum(first: Sequence[float], second: Sequence[float], confidence: float) -> Interval:
    """The sum of two independent means; as few degrees of freedom as the smaller sample has."""
    value = float(np.mean(first) + np.mean(second))
    smaller = min(len(first), len(second))
    if smaller < 2:
        return point(value)
    variance = sum(float(np.var(part, ddof=1)) / len(part) for part in (first, second))
    half = float(special.stdtrit(smaller - 1, (1 + confidence) / 2)) * math.sqrt(variance)
    return Interval(value, value - half, value + half)
