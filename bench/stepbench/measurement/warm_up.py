"""Warm-up: runs steps until they have stopped getting faster."""

import time

from stepbench.measurement.timed_loop import TimedLoop
from stepbench_reports.schema.measurement import WarmUpFacts
from stepbench_reports.schema.run import SamplingOptions

WARMUP_WINDOW_S = 0.1
"""The approximate duration of a window of warm-up, seconds."""
STEADY_SPEEDUP = 0.05
"""The steady state is reached once the mean step of a window is faster than that of the window
before by less than this share."""
WARMUP_SHARE = 0.5
"""Warm-up ends after this share of the time for sampling, even without a steady state."""


def warm_up(timed_loop: TimedLoop, sampling: SamplingOptions) -> WarmUpFacts:
    """Runs steps until they have stopped getting faster, or the time limit of warm-up is reached.

    Steps run in windows, whose mean steps `STEADY_SPEEDUP` compares.
    """
    began = time.perf_counter()
    steps, size = 0, 1
    previous_s: float | None = None
    while True:
        window = timed_loop.bare(size)
        steps += size
        step_s = window.elapsed_s / size
        steady = previous_s is not None and step_s > previous_s * (1 - STEADY_SPEEDUP)
        elapsed_s = time.perf_counter() - began
        if steady or elapsed_s > sampling.max_time_s * WARMUP_SHARE:
            break
        # The first window is a single step: it gives only the number of steps that fill a window.
        if steps > 1:
            previous_s = step_s
        size = max(2, round(WARMUP_WINDOW_S / step_s))
    return WarmUpFacts(steps=steps, elapsed_s=elapsed_s, steady=steady, step_s=step_s)
