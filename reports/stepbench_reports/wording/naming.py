"""Cases in words: as in their ids, in the cells of a column, and as one would say them.

An axis at its default goes without saying, unless nothing else would be said of a case.
"""

from collections.abc import Iterable, Sequence

from stepbench_reports.schema.axes import DEFAULTS, INFO, AxisInfo, AxisValues, workload_label


def _info(name: str) -> AxisInfo:
    """What is known of an axis; of one that is none of stepbench's, its name."""
    heading = name.replace("_", " ")
    return INFO.get(name) or AxisInfo(
        heading=heading, words=lambda value: f"{heading} {value}", label=str
    )


def label(axes: AxisValues, names: Sequence[str]) -> str:
    """A case in the words of its id, on some axes only: `b32 w2 default`."""
    return " ".join(_info(name).short(axes[name]) for name in _said(axes, names))


def setting(axes: AxisValues, names: Sequence[str]) -> str:
    """A case in words, on some axes only: `batch size 32, 2 workers, torch.compile default`."""
    return ", ".join(_info(name).words(axes[name]) for name in _said(axes, names))


def beyond_default(axes: AxisValues, names: Iterable[str]) -> list[str]:
    """Which of some axes need saying: those not at a default that goes without."""
    return [
        name
        for name in names
        if name in axes and (_info(name).said or axes[name] != DEFAULTS[name])
    ]


def _said(axes: AxisValues, names: Sequence[str]) -> list[str]:
    return beyond_default(axes, names) or [name for name in names if name in axes]


def cell(axes: AxisValues, name: str) -> str:
    """A case's value on one axis, for a column that names the axis."""
    value = axes.get(name)
    if isinstance(value, bool):
        return "on" if value else "off"
    return workload_label(str(value)) if name == "workload" else str(value)


def head(name: str) -> str:
    """An axis, as a column's head."""
    return _info(name).heading
