"""The number of steps after which compiling a case has paid off, in words."""

import math

from stepbench_reports.analysis import comparison
from stepbench_reports.analysis.stats import UNKNOWN, Interval
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.wording import quantity


def steps(run: Run, measurement: Measurement) -> Interval:
    """The number of steps after which compiling with an empty cache has paid off.

    Returns:
        The number of steps; infinity if the compiled step is slower, NaN if the speed-up's interval
        contains 1 or the number is unknown.
    """
    speedup = run.speedups.get(measurement.id)
    if speedup is None:
        return UNKNOWN
    return comparison.break_even_steps(
        measurement.cold_compile_s, measurement.mean_step.value, speedup.interval
    )


def text(steps: Interval) -> str:
    """Formats a number of steps: `3,800 steps`, `never` for infinity; empty for NaN."""
    if math.isinf(steps.value):
        return "never"
    count = quantity.number(steps.value, steps.half_width, quantity.DIGITS_WITHOUT_INTERVAL)
    return f"{count} steps" if count else quantity.NOTHING
