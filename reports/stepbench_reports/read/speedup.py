"""The speed-up of one case over another."""

import math
from dataclasses import dataclass

from stepbench_reports.analysis import comparison
from stepbench_reports.analysis.stats import Interval
from stepbench_reports.read.measurement import Measurement


@dataclass(frozen=True)
class Speedup:
    """A ratio of steps: how many times as fast as another a case is.

    Attributes:
        ratio: The other step / step.
        of: `mean` where it compares mean steps over bare blocks, as samples/s do; `median` where
            these are too few, and it compares median steps over laps.
    """

    ratio: Interval
    of: str


def speedup_over(measurement: Measurement, twin: Measurement) -> Speedup:
    """Computes how many times as fast as another a case is.

    By mean steps where both have bare blocks enough for an interval, else by median ones.
    """
    step, twin_step = measurement.bare_step, twin.bare_step
    if math.isnan(step.low) or math.isnan(twin_step.low):
        return Speedup(comparison.speedup(measurement.step, twin.step), "median")
    return Speedup(comparison.speedup(step, twin_step), "mean")
