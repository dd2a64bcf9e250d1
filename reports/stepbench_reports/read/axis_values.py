"""The values of cases on their axes: which cases agree, and on which axes cases differ."""

import json
from collections.abc import Iterable

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.schema.axes import AxisValues


def axes_key(axes: AxisValues) -> str:
    """A string of the axes, equal for cases that agree on every axis, whatever their order."""
    return json.dumps(axes, sort_keys=True, default=str)


def key_without(axes: AxisValues, axis: str) -> str:
    """A string of the axes, equal for cases that agree on every axis but one."""
    return axes_key({name: value for name, value in axes.items() if name != axis})


def varying(axis_names: Iterable[str], measurements: Iterable[Measurement]) -> tuple[str, ...]:
    """The axes on which cases differ, in order; cases without axes are ignored.

    Args:
        axis_names: The axes, in order.
        measurements: The cases.
    """
    cases = [m.axes for m in measurements if m.axes]
    return tuple(name for name in axis_names if len({str(axes.get(name)) for axes in cases}) > 1)
