"""Case against case: speed-up over the eager twin, throughput, shares of a step.

Pure functions; `reports.frame` applies them to a run.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from .stats import Interval, ratio_interval

EAGER = "off"
"""The value of the axis `compile` that stands for eager execution."""


def eager_twin(axes: Mapping[str, Any]) -> dict[str, Any] | None:
    """The axes of the same case without `torch.compile`; `None` for a case that is eager itself.

    Every other axis stays, precision included: the speed-up is that of compilation alone.
    """
    if axes.get("compile", EAGER) == EAGER:
        return None
    return {**axes, "compile": EAGER}


def speedup(step: Interval, eager_step: Interval) -> Interval:
    """How many times as fast as eager a step is: eager median step / median step.

    Args:
        step: The case's median step with its interval.
        eager_step: Its eager twin's, in the same unit, by the same clock.
    """
    return ratio_interval(eager_step, step)


def samples_per_s(batch_size: float, blocks: Iterable[Mapping[str, Any]]) -> float:
    """Throughput: samples over total time. NaN where no block was measured.

    Loader waits come in bursts, which the median step does not see and the total does. Bare blocks
    count where there are any, for laps cost them nothing; else the lapped ones.

    Args:
        batch_size: Samples in a step.
        blocks: Each with `kind` (`bare` or `lapped`), `steps` and `elapsed_s`.
    """
    blocks = list(blocks)
    seconds = seconds_per_step(blocks, "bare")
    if math.isnan(seconds):
        seconds = seconds_per_step(blocks, "lapped")
    return batch_size / seconds


def seconds_per_step(blocks: Iterable[Mapping[str, Any]], kind: str) -> float:
    """Mean seconds per step over all blocks of one kind; NaN where there are none."""
    chosen = [block for block in blocks if block["kind"] == kind]
    steps = sum(block["steps"] for block in chosen)
    elapsed_s = math.fsum(block["elapsed_s"] for block in chosen)
    return elapsed_s / steps if steps and elapsed_s > 0 else math.nan


def lapped_per_bare(blocks: Iterable[Mapping[str, Any]]) -> float:
    """Mean step with laps / mean step without: what taking laps costs. NaN where unknown."""
    blocks = list(blocks)
    return seconds_per_step(blocks, "lapped") / seconds_per_step(blocks, "bare")
