"""The ratio of two cases' throughputs or steps, paired by generation where the cases have some."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from stepbench_reports.analysis.generations import (
    MAX_DEGREES,
    GenerationSteps,
    as_it_ran,
    log_ratios,
    mean_of_generations,
)
from stepbench_reports.analysis.stats import (
    UNKNOWN,
    Interval,
    exponential,
    point,
    sum_of_means,
)
from stepbench_reports.read.measurement import Measurement

Of = Literal["samples_per_s", "step"]
"""The figures that a ratio compares: samples/s, or the durations of steps."""
CONFIDENCE = 0.95
_Generations: TypeAlias = Mapping[Hashable, GenerationSteps]


@dataclass(frozen=True)
class Ratio:
    """The ratio of two cases.

    Attributes:
        interval: The ratio, with its interval; NaN ends if there are too few generations.
        paired: True if both cases took turns with each other, or each with a third case. Else the
            machine's drift between their measurements is in the ratio.
        as_it_ran: The ratio of totals over all turns, those that `interval` leaves out, too.
    """

    interval: Interval
    paired: bool
    as_it_ran: Interval = UNKNOWN

    @property
    def estimates_differ(self) -> bool:
        """True if `interval` and `as_it_ran` each exclude the other's ratio."""
        return _excludes(self.interval, self.as_it_ran.value) and _excludes(
            self.as_it_ran, self.interval.value
        )


def _excludes(interval: Interval, value: float) -> bool:
    return value < interval.low or value > interval.high


UNKNOWN_RATIO = Ratio(UNKNOWN, paired=False)
"""The ratio of cases of which one was not measured, or that no case links across hosts."""


def ratio(
    a: Measurement,
    b: Measurement,
    others: Iterable[Measurement] = (),
    *,
    of: Of = "samples_per_s",
    confidence: float = CONFIDENCE,
) -> Ratio:
    """Computes a / b. Cases of different hosts have a ratio only through a case that links them.

    Args:
        a: A case.
        b: A case.
        others: The cases of the run, one of which may link `a` and `b` that took no turns with each
            other.
        of: `samples_per_s`, above 1 if `a` is faster; `step`, above 1 if `a` is slower.
        confidence: The probability with which the interval is to hold the ratio.
    """
    if not a.generations or not b.generations:
        logs = total_logs = _log_ratio_of_means(a, b)
        paired = False
    else:
        links = tuple(others)  # of a thousand cases only a ratio without a common turn takes any
        steps = (link.generations for link in links)
        logs, paired = _log_ratio(a.generations, b.generations, steps, confidence)
        totals = (as_it_ran(a.generations), as_it_ran(b.generations))
        total_steps = (as_it_ran(link.generations) for link in links)
        total_logs, _ = _log_ratio(*totals, total_steps, confidence)
    if math.isnan(logs.value) or (a.host != b.host and not paired):
        return UNKNOWN_RATIO
    if of == "step":
        return Ratio(_inverse(logs), paired, _inverse(total_logs))
    log_samples = math.log(a.samples / b.samples)
    return Ratio(_samples_ratio(logs, log_samples), paired, _samples_ratio(total_logs, log_samples))


def _inverse(logs: Interval) -> Interval:
    """The ratio a / b of steps, from the log of b / a."""
    return exponential(Interval(-logs.value, -logs.high, -logs.low))


def unpaired_ratio(a: Measurement, b: Measurement) -> Interval:
    """Computes a / b in samples/s for cases of two runs, which took no turns with each other."""
    if not a.generations or not b.generations:
        return ratio(a, b).interval
    logs = sum_of_means(
        ((-1.0, _logs(a.generations)), (1.0, _logs(b.generations))), CONFIDENCE, MAX_DEGREES
    )
    return _samples_ratio(logs, math.log(a.samples / b.samples))


def mean_ratio(
    pairs: Sequence[tuple[Measurement, Measurement]], others: Sequence[Measurement] = ()
) -> Interval:
    """The geometric mean of a / b in samples/s over several pairs of cases, with an interval.

    A generation that all pairs of a group or job have in common is one sample of these pairs.
    Groups that have no generation in common are independent. If one has fewer than two samples,
    there is no interval.

    Args:
        pairs: The pairs.
        others: The cases of the run, of which one may link a pair that took no turns together.
    """
    per_pair = [_by_generation(a, b) for a, b in pairs]
    factors = [math.log(a.samples / b.samples) for a, b in pairs]
    parts = [(len(part) / len(pairs), _means(part)) for part in _independent(per_pair)]
    if all(len(means) >= 2 for _, means in parts):
        logs = sum_of_means(parts, CONFIDENCE, MAX_DEGREES)
    else:
        values = [math.log(ratio(a, b, others, of="step").interval.value) for a, b in pairs]
        logs = point(-float(np.mean(values)))
    return _samples_ratio(logs, float(np.mean(factors)))


def _independent(
    per_pair: Sequence[Mapping[Hashable, float]],
) -> list[list[Mapping[Hashable, float]]]:
    """Groups the pairs that have generations in common, directly or through other pairs."""
    parts: list[list[Mapping[Hashable, float]]] = []
    for ratios in per_pair:
        met = [part for part in parts if any(ratios.keys() & other.keys() for other in part)]
        apart = [part for part in parts if not any(part is other for other in met)]
        parts = [*apart, [ratios, *(other for part in met for other in part)]]
    return parts


def _means(part: Sequence[Mapping[Hashable, float]]) -> list[float]:
    """The mean of some pairs' log ratios in each generation that all of them have."""
    common = [key for key in part[0] if all(key in ratios for ratios in part)]
    return [float(np.mean([ratios[key] for ratios in part])) for key in common]


def _samples_ratio(logs: Interval, log_samples: float) -> Interval:
    """A ratio of samples/s, from the logs of the ratio of steps and of the samples in a step."""
    return exponential(Interval(*(end + log_samples for end in (logs.value, logs.low, logs.high))))


def _by_generation(a: Measurement, b: Measurement) -> dict[Hashable, float]:
    keys = [key for key in a.generations if key in b.generations]
    return dict(zip(keys, log_ratios(a.generations, b.generations), strict=True))


def _log_ratio_of_means(a: Measurement, b: Measurement) -> Interval:
    """The log of b's mean step / a's, of cases of which one took no turns."""
    steps_s = (a.mean_step.value, b.mean_step.value)
    known = all(step_s > 0 for step_s in steps_s)
    return point(math.log(steps_s[1] / steps_s[0])) if known else UNKNOWN


def _log_ratio(
    a: _Generations, b: _Generations, others: Iterable[_Generations], confidence: float
) -> tuple[Interval, bool]:
    """The log of b's step / a's, and whether it is paired."""
    paired = log_ratios(a, b)
    if paired:
        return mean_of_generations(paired, confidence), True
    for link in others:
        first, second = log_ratios(a, link), log_ratios(link, b)
        if first and second:
            return sum_of_means(((1.0, first), (1.0, second)), confidence, MAX_DEGREES), True
    return sum_of_means(((-1.0, _logs(a)), (1.0, _logs(b))), confidence, MAX_DEGREES), False


def _logs(generations: _Generations) -> list[float]:
    return [math.log(steps.all_s) for steps in generations.values()]
