"""Names of cases: as in their ids, in the cells of a column, and in plain words.

A name omits some axes at their defaults (those with `AxisInfo.names_default` false), unless it
would be empty without them.
"""

from collections.abc import Iterable, Sequence

from stepbench_reports.schema.axes import DEFAULTS, AxisValues
from stepbench_reports.schema.axis_labels import INFO, AxisInfo, workload_label


def _info(name: str) -> AxisInfo:
    """An axis's `AxisInfo`; for an axis unknown to stepbench, one made from the axis's name."""
    heading = name.replace("_", " ")
    return INFO.get(name) or AxisInfo(
        heading=heading, words=lambda value: f"{heading} {value}", label=str
    )


def label(axes: AxisValues, names: Sequence[str]) -> str:
    """A case's values on some axes, in the words of its id: `b32 w2 default`."""
    return " ".join(_info(name).short(axes[name]) for name in _axes_to_name(axes, names))


def setting_words(axes: AxisValues, names: Sequence[str]) -> str:
    """Returns a case's values on `names` in words: `batch size 32, 2 workers, eager`."""
    return ", ".join(_info(name).words(axes[name]) for name in _axes_to_name(axes, names))


def named_axes(axes: AxisValues, names: Iterable[str]) -> list[str]:
    """The axes among `names` that a case's name includes: all but those at an omitted default."""
    return [
        name
        for name in names
        if name in axes and (_info(name).names_default or axes[name] != DEFAULTS[name])
    ]


def _axes_to_name(axes: AxisValues, names: Sequence[str]) -> list[str]:
    return named_axes(axes, names) or [name for name in names if name in axes]


def cell(axes: AxisValues, name: str) -> str:
    """A case's value on one axis, for a column headed by the axis."""
    value = axes.get(name)
    if isinstance(value, bool):
        return "on" if value else "off"
    return workload_label(str(value)) if name == "workload" else str(value)


def head(name: str) -> str:
    """The head of an axis's column."""
    return _info(name).heading
