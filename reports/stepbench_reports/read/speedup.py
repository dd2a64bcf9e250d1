"""The speed-up of one case over another."""

import math
from dataclasses import dataclass

from stepbench_reports.analysis import comparison
from stepbench_reports.analysis.stats import Interval
from stepbench_reports.read.measurement import Measurement


@dataclass(frozen=True)
class Speedup:
    """A speed-up: a ratio of the step times of two cases.

    Attributes:
        ratio: The other case's step / the case's step; above 1 if the case is faster.
        statistic: `mean` if the steps are means over bare blocks, as in samples/s; `median` if
            there are too few bare blocks, and the steps are medians over laps.
    """

    ratio: Interval
    statistic: str


def speedup_over(measurement: Measurement, baseline: Measurement) -> Speedup:
    """Computes the speed-up of a case over another case, `baseline`.

    Compares mean steps if both cases have enough bare blocks for an interval, else median steps.
    """
    step, baseline_step = measurement.bare_step, baseline.bare_step
    if math.isnan(step.low) or math.isnan(baseline_step.low):
        return Speedup(comparison.speedup(measurement.step, baseline.step), "median")
    return Speedup(comparison.speedup(step, baseline_step), "mean")
