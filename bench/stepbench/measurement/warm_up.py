"""Warm-up: runs steps until they have stopped getting faster."""

import time

from stepbench.measurement.subject import Subject
from stepbench_reports.schema.measurement import WarmUpFacts
from stepbench_reports.schema.run import SamplingOptions

WARMUP_WINDOW_S = 0.1
"""The approximate duration of a window of warm-up, seconds."""
WARMUP_SETTLED = 0.05
"""Warm-up has settled once a window's mean step is below the previous one's by less than this
share."""
WARMUP_SHARE = 0.5
"""Warm-up ends, settled or not, after this share of the time for sampling."""


def warm_up(subject: Subject, sampling: SamplingOptions) -> WarmUpFacts:
    """Runs steps until they have stopped getting faster, or the time for warm-up is up.

    Steps run in windows. Warm-up has settled once the mean step of a window is less than the share
    `WARMUP_SETTLED` below the mean step of the window before.
    """
    began = time.perf_counter()
    steps, size = 0, 1
    earlier: float | None = None
    while True:
        window = subject.bare(size)
        steps += size
        step_s = window.elapsed_s / size
        settled = earlier is not None and step_s > earlier * (1 - WARMUP_SETTLED)
        elapsed_s = time.perf_counter() - began
        if settled or elapsed_s > sampling.max_time_s * WARMUP_SHARE:
            break
        # The first window is a single step: it gives only the number of steps that fill a window.
        if steps > 1:
            earlier = step_s
        size = max(2, round(WARMUP_WINDOW_S / step_s))
    return WarmUpFacts(steps=steps, elapsed_s=elapsed_s, settled=settled, step_s=step_s)
