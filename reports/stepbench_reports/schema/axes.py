"""The axes: a case's value on each axis, and an `AxisInfo` for each axis.

Command-line options, case ids and names, axes without a meaning ("moot") and table columns are all
derived from these definitions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Self, TypeAlias

from msgspec import NODEFAULT
from msgspec.structs import asdict, fields
from msgspec.structs import replace as changed

from stepbench_reports.schema.record import Count, Positive, Record

EAGER = "off"
"""The value of the axis `compile` for eager execution."""
AxisValue: TypeAlias = str | int | float | bool | None
"""A case's value on an axis; `None` if the value is unknown."""
AxisValues: TypeAlias = Mapping[str, AxisValue]
"""A case's value on each axis, by axis name; files of pytest-benchmark may have different axes."""


class Axes(Record, frozen=True, kw_only=True):
    """A case's value on each axis, in the order of the case id.

    An axis that a file lacks has its default.

    Attributes:
        workload: The workload: a shipped name, `path/to/file.py:make` or `package.module:make`.
        dataset: The data set: `cifar10`, `jpeg`, or `own` for the workload's default.
        loop: The loop: `train`, or `eval` for evaluation mode under `no_grad`.
        device: The device as torch names it: `cpu`, `cuda`, `cuda:1`, `mps`, `xpu`.
        batch_size: The number of samples in a batch.
        accumulate: The number of backward passes per optimizer step.
        num_workers: The number of loader worker processes; 0 loads in the training process.
        prefetch_factor: The number of batches that each loader worker prefetches.
        persistent_workers: True keeps loader workers alive between epochs.
        pin_memory: True loads batches into pinned (page-locked) memory.
        non_blocking: True makes transfers to the device asynchronous.
        compile: `off`, a mode of `torch.compile`, or `backend:NAME`.
        dynamic: `on` compiles dynamic shapes, `off` static shapes; with `auto`, torch decides
            when it sees a second shape.
        precision: `fp32`, `tf32`, `bf16` or `fp16`.
        channels_last: True stores images and convolution weights in channels-last format.
        optimizer: The optimizer's implementation: `own` (the workload's choice), `plain`,
            `foreach` or `fused`.
    """

    workload: str
    dataset: str = "own"
    loop: str = "train"
    device: str = "cpu"
    batch_size: Positive = 4
    accumulate: Positive = 1
    num_workers: Count = 0
    prefetch_factor: Positive = 2
    persistent_workers: bool = False
    pin_memory: bool = False
    non_blocking: bool = False
    compile: str = EAGER
    dynamic: str = "auto"
    precision: str = "fp32"
    channels_last: bool = False
    optimizer: str = "own"

    def values(self) -> dict[str, Any]:
        """The case's value on each axis, by axis name, in the order of the case id."""
        return asdict(self)

    def changed(self, **values: Any) -> Self:  # noqa: ANN401  # each axis has a type of its own
        """Returns the case with different values on the given axes."""
        return changed(self, **values)

    def normalized(self) -> Self:
        """Returns the case with every axis that has no meaning for it reset to its default."""
        return self.changed(**{name: DEFAULTS[name] for name in moot(self.values())})

    @property
    def id(self) -> str:
        """The case's readable id, safe in file names: `convnet-cpu-b32-w2-default-fp32`."""
        labels = (info.label(getattr(self, name)) for name, info in INFO.items())
        return "-".join(filter(None, labels))


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


def _after(prefix: str) -> Callable[[Any], str]:
    return lambda value: f"{prefix}{value}"


def _one_of(words: Mapping[str, str], other: str = "{}") -> Callable[[Any], str]:
    return lambda value: words.get(value, other.format(value))


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
    remedy="is of use only to transfers; give a --device other than cpu",
)
_COMPILES = Need(
    axis="compile",
    holds=lambda value: value != EAGER,
    remedy="is for torch.compile; give a --compile mode",
)
_TRAINS = Need(
    axis="loop",
    holds=lambda value: value == "train",
    remedy="is for training; give --loop train",
)

INFO: Mapping[str, AxisInfo] = {
    "workload": AxisInfo(
        heading="workload", short=workload_label, words=workload_label, label=workload_label
    ),
    "dataset": AxisInfo(
        heading="dataset",
        words=_one_of({"own": "its own data set"}, "data set {}"),
        label=lambda value: "" if value == "own" else str(value),
    ),
    "loop": AxisInfo(
        heading="loop",
        words=_one_of({"train": "training", "eval": "evaluation"}),
        label=lambda value: "" if value == "train" else str(value),
        names_default=False,
    ),
    "device": AxisInfo(heading="device", label=lambda value: str(value).replace(":", "")),
    "batch_size": AxisInfo(
        heading="batch size", short=_after("b"), words=_after("batch size "), label=_after("b")
    ),
    "accumulate": AxisInfo(
        heading="accumulate",
        short=_after("acc"),
        words=lambda value: "1 batch a step" if value == 1 else f"{value} batches a step",
        label=lambda value: "" if value == 1 else f"acc{value}",
        names_default=False,
        need=_TRAINS,
    ),
    "num_workers": AxisInfo(
        heading="workers",
        short=_after("w"),
        words=lambda value: "1 worker" if value == 1 else f"{value} workers",
        label=_after("w"),
    ),
    "prefetch_factor": AxisInfo(
        heading="prefetch",
        short=_after("pf"),
        words=_after("prefetch factor "),
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
        short=_one_of({"on": "dynamic", "off": "static"}, "{}-shapes"),
        words=_one_of(
            {"auto": "shapes as torch decides", "on": "dynamic shapes", "off": "static shapes"},
            "dynamic {}",
        ),
        label=_one_of({"auto": "", "on": "dynamic", "off": "static"}),
        names_default=False,
        need=_COMPILES,
    ),
    "precision": AxisInfo(heading="precision", label=str),
    "channels_last": _switch("channels_last", "channels last", "channels last"),
    "optimizer": AxisInfo(
        heading="optimizer",
        words=_one_of({"own": "the workload's own optimizer"}, "{} optimizer"),
        label=lambda value: "" if value == "own" else str(value),
        names_default=False,
        need=_TRAINS,
    ),
}
"""Every axis, in the order of a case's id."""

DEFAULTS: AxisValues = {
    each.name: each.default for each in fields(Axes) if each.default is not NODEFAULT
}
"""The default of each axis that has one."""

if tuple(INFO) != Axes.__struct_fields__:  # pragma: no cover
    raise AssertionError("INFO does not describe the fields of Axes, in their order")


def moot(axes: AxisValues) -> tuple[str, ...]:
    """Returns the axes that have no meaning given a case's values on other axes.

    Args:
        axes: The case's value on each axis, or on some axes.
    """
    return tuple(
        name
        for name, info in INFO.items()
        if info.need is not None
        and info.need.axis in axes
        and not info.need.holds(axes[info.need.axis])
    )
