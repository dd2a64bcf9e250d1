"""Compares cases: the uncompiled case of a compiled one, steps until compiling pays, throughput.

Pure functions; `stepbench_reports.read.measurement` and `stepbench_reports.read.run` apply them.
"""

import math
from collections.abc import Iterable

from stepbench_reports.analysis.stats import UNKNOWN, Interval, point
from stepbench_reports.schema.axes import DEFAULTS, AxisValue, AxisValues, moot
from stepbench_reports.schema.axis_labels import EAGER
from stepbench_reports.schema.measurement import Block


def with_value(axes: AxisValues, axis: str, value: AxisValue) -> AxisValues:
    """The axes with another value on one axis; axes that the value makes moot get defaults."""
    changed = {**axes, axis: value}
    return changed | {name: DEFAULTS[name] for name in moot({axis: value}) if name in axes}


def uncompiled(axes: AxisValues) -> AxisValues | None:
    """The axes of the same case without `torch.compile`; `None` for an uncompiled case.

    Other axes, such as precision, keep their values: the speed-up is that of compilation alone.
    """
    if axes.get("compile", EAGER) == EAGER:
        return None
    return with_value(axes, "compile", EAGER)


def break_even_steps(compile_s: float, step_s: float, speedup: Interval) -> Interval:
    """The number of steps after which the time saved equals the time of compilation.

    Args:
        compile_s: The time of compilation, seconds.
        step_s: The compiled step, seconds.
        speedup: The speed-up of the compiled step over the eager step.

    Returns:
        The number of steps; infinity if `speedup.high` <= 1, NaN if the interval contains 1 or is
        NaN.
    """
    if speedup.high <= 1:
        return point(math.inf)
    if not speedup.low > 1:
        return UNKNOWN
    steps = (
        compile_s / (step_s * (ratio - 1)) for ratio in (speedup.value, speedup.high, speedup.low)
    )
    return Interval(*steps)


def mean_block_step(blocks: Iterable[Block], kind: str) -> Interval:
    """The mean seconds per step (total time / total steps), without an interval.

    Blocks do not show how far processes differ.

    Args:
        blocks: The blocks.
        kind: The kind of blocks to use: `bare` or `lapped`. The mean is NaN if there are none.
    """
    timed = [block for block in blocks if block.kind == kind and block.elapsed_s > 0]
    if not timed:
        return UNKNOWN
    return point(sum(block.elapsed_s for block in timed) / sum(block.steps for block in timed))


def samples_per_s(samples: float, step: Interval) -> Interval:
    """The throughput, samples/s, with an interval.

    Args:
        samples: The number of samples in a step, over all micro-batches.
        step: The mean step, seconds.
    """
    return Interval(samples / step.value, samples / step.high, samples / step.low)
