"""Warm-up: runs steps until they have stopped getting faster."""

import time
from collections.abc import Callable, Sequence

from stepbench.measurement.timed_loop import TimedLoop
from stepbench.training.heartbeat import after_slow_steps
from stepbench_reports.schema.measurement import WarmUpFacts
from stepbench_reports.schema.run import SamplingOptions

WARMUP_WINDOW_S = 0.1
"""The approximate duration of a window of warm-up, seconds."""
STEADY_SPEEDUP, STEADY_WINDOWS = 0.05, 3
"""The steady state is reached after `STEADY_WINDOWS` windows of which none has a mean step that is
shorter than the first one's by more than `STEADY_SPEEDUP`."""
WARMUP_SHARE = 0.25
"""Warm-up ends after this share of the time for sampling, even without a steady state."""


def warm_up(
    timed_loop: TimedLoop,
    sampling: SamplingOptions,
    report: Callable[[str], None] = lambda _: None,
) -> WarmUpFacts:
    """Runs steps until they have stopped getting faster, or the time limit of warm-up is reached.

    Steps run in windows, whose mean steps `STEADY_SPEEDUP` compares.

    Args:
        timed_loop: The loop.
        sampling: The limits of sampling.
        report: Called with a few words at the begin, and after each slow step.
    """
    report("warming up")
    began = time.perf_counter()
    # The first window is a single step: it gives only the number of steps that fill a window.
    step_s = timed_loop.bare(1).elapsed_s
    steps, windows_s = 1, list[float]()
    while True:
        size = max(2, round(WARMUP_WINDOW_S / step_s))
        end_step = after_slow_steps(report, "warming up", step_s)
        step_s = timed_loop.bare(size, end_step).elapsed_s / size
        steps += size
        windows_s.append(step_s)
        steady = is_steady(windows_s)
        elapsed_s = time.perf_counter() - began
        if steady or elapsed_s > sampling.max_time_s * WARMUP_SHARE:
            return WarmUpFacts(steps=steps, elapsed_s=elapsed_s, steady=steady, step_s=step_s)


def is_steady(windows_s: Sequence[float]) -> bool:
    """True if the last windows show no trend towards shorter steps.

    Args:
        windows_s: The mean step of each window so far, seconds.
    """
    first, *later = windows_s[-STEADY_WINDOWS:]
    enough = len(windows_s) >= STEADY_WINDOWS
    return enough and min(later) > first * (1 - STEADY_SPEEDUP)
