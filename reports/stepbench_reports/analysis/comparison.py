"""Case against case: speed-up over the eager twin, throughput, shares of a step.

Pure functions; `stepbench_reports.read.measurement` and `stepbench_reports.read.run` apply them.
"""

import math
from collections.abc import Iterable

from stepbench_reports.analysis.stats import (
    UNKNOWN,
    Interval,
    mean_over_blocks,
    point,
    ratio_interval,
)
from stepbench_reports.schema.axes import DEFAULTS, EAGER, AxisValue, AxisValues, moot
from stepbench_reports.schema.measurement import Block


def with_value(axes: AxisValues, axis: str, value: AxisValue) -> AxisValues:
    """The axes of the same case with another value of one axis, and of those that follow."""
    changed = {**axes, axis: value}
    return changed | {name: DEFAULTS[name] for name in moot({axis: value}) if name in axes}


def eager_twin(axes: AxisValues) -> AxisValues | None:
    """The axes of the same case without `torch.compile`; `None` for a case that is eager itself.

    Every other axis stays, precision included: the speed-up is that of compilation alone.
    """
    if axes.get("compile", EAGER) == EAGER:
        return None
    return with_value(axes, "compile", EAGER)


def speedup(step: Interval, eager_step: Interval) -> Interval:
    """How many times as fast as eager a step is: eager step / step.

    Args:
        step: The case's step with its interval: a mean or a median.
        eager_step: Its eager twin's, of the same kind, in the same unit.
    """
    return ratio_interval(eager_step, step)


def repaid_steps(compile_s: float, step_s: float, speedup: Interval) -> Interval:
    """After how many steps what compiling took has been saved.

    Args:
        compile_s: What it took, seconds.
        step_s: The compiled step, seconds.
        speedup: How many times as fast as eager it is.

    Returns:
        The number; infinity where it is no faster, and NaN where that is not sure.
    """
    if speedup.high <= 1:
        return point(math.inf)
    if not speedup.low > 1:
        return UNKNOWN
    steps = (
        compile_s / (step_s * (ratio - 1)) for ratio in (speedup.value, speedup.high, speedup.low)
    )
    return Interval(*steps)


def mean_step(blocks: Iterable[Block], kind: str) -> Interval:
    """Mean seconds per step, all time over all steps, with its 95 % interval from the blocks.

    Args:
        blocks: The blocks.
        kind: Which of them count: `bare` or `lapped`. NaN where there are none.
    """
    chosen = [block for block in blocks if block.kind == kind and block.elapsed_s > 0]
    if not chosen:
        return UNKNOWN
    return mean_over_blocks(
        [block.elapsed_s for block in chosen], [block.steps for block in chosen]
    )


def samples_per_s(samples: float, step: Interval) -> Interval:
    """Throughput with its interval.

    Args:
        samples: Samples in a step, of all its batches.
        step: The mean step, seconds.
    """
    return Interval(samples / step.value, samples / step.high, samples / step.low)
