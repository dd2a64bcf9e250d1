"""The words for each axis and its values: column headings, labels in case ids, plain words.

Command-line options, case ids and names, axes without a meaning ("moot") and table columns are all
derived from `INFO`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

EAGER = "off"
"""The value of the axis `compile` for eager execution."""


def _plain(value: Any) -> str:  # noqa: ANN401  # any axis's value
    return str(value)


@dataclass(frozen=True, kw_only=True)
class Need:
    """A condition that must hold for an axis to have a meaning in a case.

    Attributes:
        axis: The axis that the condition tests.
        holds: Takes a value of that axis, returns true if the condition holds.
        remedy: The end of the error message if the condition holds in no case.
    """

    axis: str
    holds: Callable[[Any], bool]
    remedy: str


@dataclass(frozen=True, kw_only=True)
class AxisInfo:
    """The names and labels of an axis and of its values.

    Attributes:
        heading: The axis's column heading.
        short: Formats a value in the short words of an id.
        words: Formats a value in plain words.
        label: Formats a value's part of a case id; empty if the id omits the value.
        names_default: True if reports also name the axis's default.
        need: The condition under which the axis has a meaning; `None` if it always has one.
    """

    heading: str
    short: Callable[[Any], str] = _plain
    words: Callable[[Any], str] = _plain
    label: Callable[[Any], str]
    names_default: bool = True
    need: Need | None = None


def workload_label(spec: str) -> str:
    """Returns a workload's short name: `net` for `path/to/net.py:make` or `package.net:make`."""
    module, colon, attribute = spec.rpartition(":")
    if not colon:
        return spec
    stem = PurePath(module).stem if module.endswith(".py") else module.rpartition(".")[2]
    return stem if attribute == "make" else f"{stem}.{attribute}"


def _prefixed(prefix: str) -> Callable[[Any], str]:
    return lambda value: f"{prefix}{value}"


def _lookup(words: Mapping[str, str], template: str = "{}") -> Callable[[Any], str]:
    return lambda value: words.get(value, template.format(value))


def _switch(name: str, words: str, heading: str, need: Need | None = None) -> AxisInfo:
    """Returns the `AxisInfo` of an on/off axis; ids omit the value "off"."""
    return AxisInfo(
        heading=heading,
        short=lambda value: name if value else f"no-{name}",
        words=lambda value: words if value else f"no {words}",
        label=lambda value: name if value else "",
        names_default=False,
        need=need,
    )


_WORKERS = Need(
    axis="num_workers",
    holds=lambda value: value > 0,
    remedy="needs loader workers; give --num-workers 1 or more",
)
_TRANSFERS = Need(
    axis="device",
    holds=lambda value: value != "cpu",
    remedy="applies only to transfers to a device; give a --device other than cpu",
)
_COMPILES = Need(
    axis="compile",
    holds=lambda value: value != EAGER,
    remedy="applies only to torch.compile; give a --compile mode",
)
_TRAINS = Need(
    axis="loop",
    holds=lambda value: value == "train",
    remedy="applies only to training; give --loop train",
)

INFO: Mapping[str, AxisInfo] = {
    "workload": AxisInfo(
        heading="workload", short=workload_label, words=workload_label, label=workload_label
    ),
    "dataset": AxisInfo(
        heading="dataset",
        words=_lookup({"own": "its own data set"}, "data set {}"),
        label=lambda value: "" if value == "own" else str(value),
    ),
    "loop": AxisInfo(
        heading="loop",
        words=_lookup({"train": "training", "eval": "evaluation"}),
        label=lambda value: "" if value == "train" else str(value),
        names_default=False,
    ),
    "device": AxisInfo(heading="device", label=lambda value: str(value).replace(":", "")),
    "batch_size": AxisInfo(
        heading="batch size",
        short=_prefixed("b"),
        words=_prefixed("batch size "),
        label=_prefixed("b"),
    ),
    "accumulate": AxisInfo(
        heading="accumulate",
        short=_prefixed("acc"),
        words=lambda value: "1 batch a step" if value == 1 else f"{value} batches a step",
        label=lambda value: "" if value == 1 else f"acc{value}",
        names_default=False,
        need=_TRAINS,
    ),
    "num_workers": AxisInfo(
        heading="workers",
        short=_prefixed("w"),
        words=lambda value: "1 worker" if value == 1 else f"{value} workers",
        label=_prefixed("w"),
    ),
    "prefetch_factor": AxisInfo(
        heading="prefetch",
        short=_prefixed("pf"),
        words=_prefixed("prefetch factor "),
        label=lambda value: "" if value == 2 else f"pf{value}",
        names_default=False,
        need=_WORKERS,
    ),
    "persistent_workers": _switch("persistent", "persistent workers", "persistent", _WORKERS),
    "pin_memory": _switch("pin", "pinned memory", "pinned", _TRANSFERS),
    "non_blocking": _switch("nonblocking", "non-blocking transfers", "non-blocking", _TRANSFERS),
    "compile": AxisInfo(
        heading="compile",
        words=lambda value: "eager" if value == EAGER else f"torch.compile {value}",
        label=lambda value: str(value).replace(":", "."),
    ),
    "dynamic": AxisInfo(
        heading="dynamic",
        short=_lookup({"on": "dynamic", "off": "static"}, "{}-shapes"),
        words=_lookup(
            {"auto": "shapes as torch decides", "on": "dynamic shapes", "off": "static shapes"},
            "dynamic {}",
        ),
        label=_lookup({"auto": "", "on": "dynamic", "off": "static"}),
        names_default=False,
        need=_COMPILES,
    ),
    "precision": AxisInfo(heading="precision", label=str),
    "channels_last": _switch("channels_last", "channels last", "channels last"),
    "optimizer": AxisInfo(
        heading="optimizer",
        words=_lookup({"own": "the workload's own optimizer"}, "{} optimizer"),
        label=lambda value: "" if value == "own" else str(value),
        names_default=False,
        need=_TRAINS,
    ),
}
"""Every axis, in the order of a case's id."""
