"""Signs of life between slow steps, so that a process at work is not taken for one that hangs."""

import itertools
import time
from collections.abc import Callable

from stepbench.training.phases import no_end

SLOW_STEP_S = 1.0
"""The duration of a step, seconds, from which a message between two steps changes no figure."""


def after_slow_steps(
    report: Callable[[str], None], activity: str, step_s: float
) -> Callable[[], None]:
    """Makes the function that a timed loop calls after each step.

    Args:
        report: Called with a few words after each slow step; never called for others.
        activity: The words on what the steps are for.
        step_s: The expected duration of a step, seconds.
    """
    if step_s < SLOW_STEP_S:
        return no_end
    steps = itertools.count(1)
    return lambda: report(f"{activity}, step {next(steps)}")


def after_untimed_steps(
    report: Callable[[str], None], activity: str, steps_before: int = 0
) -> Callable[[], None]:
    """Makes the function that an untimed loop calls after each step.

    Args:
        report: Called with a few words after a step, at most once in `SLOW_STEP_S`.
        activity: The words on what the steps are for.
        steps_before: The number of steps that were taken before.
    """
    steps = itertools.count(steps_before + 1)
    reported_s = time.perf_counter()

    def end_step() -> None:
        nonlocal reported_s
        step, now_s = next(steps), time.perf_counter()
        if now_s - reported_s >= SLOW_STEP_S:
            reported_s = now_s
            report(f"{activity}, step {step}")

    return end_step
