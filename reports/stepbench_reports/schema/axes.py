"""The axes: a case's value on each, and one `AxisInfo` an axis.

Options, ids, names of cases, axes without a meaning ("moot") and the columns of tables are all made
from these.
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
"""The value of the axis `compile` that stands for eager execution."""
AxisValue: TypeAlias = str | int | float | bool | None
"""A case's value on an axis; `None` where none is known."""
AxisValues: TypeAlias = Mapping[str, AxisValue]
"""A case's value on each axis by name; files of pytest-benchmark have axes of their own."""


class Axes(Record, frozen=True, kw_only=True):
    """A case's value on each axis, in the order of its id. A file that lacks one has its default.

    Attributes:
        workload: A shipped name, `path/to/file.py:make` or `package.module:make`.
        dataset: `cifar10`, `jpeg`, or `own`: the workload's own.
        loop: `train`, or `eval`: evaluation mode under `no_grad`.
        device: As torch writes it: `cpu`, `cuda`, `cuda:1`, `mps`, `xpu`.
        batch_size: Samples in a batch.
        accumulate: Backward passes to one step of the optimizer.
        num_workers: Processes that load data; 0 loads in the training process.
        prefetch_factor: Batches that each loader worker keeps ready.
        persistent_workers: True keeps loader workers from epoch to epoch.
        pin_memory: True loads batches into page-locked memory.
        non_blocking: True does not wait for transfers to the device.
        compile: `off`, a mode of `torch.compile`, or `backend:NAME`.
        dynamic: `on` compiles shapes as variable, `off` as fixed; `auto` decides at the second
            shape.
        precision: `fp32`, `tf32`, `bf16` or `fp16`.
        channels_last: True keeps images and convolutions' weights with the channels last.
        optimizer: Its implementation: `own` (the workload's choice), `plain`, `foreach`, `fused`.
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
        """The axes and the value on each, in order."""
        return asdict(self)

    def changed(self, **values: Any) -> Self:  # noqa: ANN401  # each axis has a type of its own
        """The same case with other values on some axes."""
        return changed(self, **values)

    def normalized(self) -> Self:
        """The same case with the axes that have no meaning in it at their defaults."""
        return self.changed(**{name: DEFAULTS[name] for name in moot(self.values())})

    @property
    def id(self) -> str:
        """A readable name, such as `convnet-cpu-b32-w2-default-fp32`; fit for a file's name."""
        labels = (info.label(getattr(self, name)) for name, info in INFO.items())
        return "-".join(filter(None, labels))


def _plain(value: Any) -> str:  # noqa: ANN401  # any axis's value
    return str(value)


@dataclass(frozen=True, kw_only=True)
class Need:
    """A condition without which an axis has no meaning in a case.

    Attributes:
        axis: The axis that decides.
        holds: True for a value of that axis with which there is a meaning.
        remedy: What to do where it holds in no case; ends an error.
    """

    axis: str
    holds: Callable[[Any], bool]
    remedy: str


@dataclass(frozen=True, kw_only=True)
class AxisInfo:
    """How an axis is named, labelled and put into words.

    Attributes:
        heading: The axis, as a column's head.
        short: A value in the words of an id.
        words: A value as one would say it.
        label: A value's part in a case's id; empty where the id leaves it out.
        said: True where reports name also its default.
        need: Without which the axis has no meaning; `None` where it always has one.
    """

    heading: str
    short: Callable[[Any], str] = _plain
    words: Callable[[Any], str] = _plain
    label: Callable[[Any], str]
    said: bool = True
    need: Need | None = None


def workload_label(spec: str) -> str:
    """A workload's short name: `net` for `path/to/net.py:make` and for `package.net:make`."""
    place, colon, attribute = spec.rpartition(":")
    if not colon:
        return spec
    stem = PurePath(place).stem if place.endswith(".py") else place.rpartition(".")[2]
    return stem if attribute == "make" else f"{stem}.{attribute}"


def _after(prefix: str) -> Callable[[Any], str]:
    return lambda value: f"{prefix}{value}"


def _one_of(words: Mapping[str, str], other: str = "{}") -> Callable[[Any], str]:
    return lambda value: words.get(value, other.format(value))


def _switch(name: str, words: str, heading: str, need: Need | None = None) -> AxisInfo:
    """An axis that is on or off; off goes without saying."""
    return AxisInfo(
        heading=heading,
        short=lambda value: name if value else f"no-{name}",
        words=lambda value: words if value else f"no {words}",
        label=lambda value: name if value else "",
        said=False,
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
        said=False,
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
        said=False,
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
        said=False,
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
        said=False,
        need=_COMPILES,
    ),
    "precision": AxisInfo(heading="precision", label=str),
    "channels_last": _switch("channels_last", "channels last", "channels last"),
    "optimizer": AxisInfo(
        heading="optimizer",
        words=_one_of({"own": "the workload's own optimizer"}, "{} optimizer"),
        label=lambda value: "" if value == "own" else str(value),
        said=False,
        need=_TRAINS,
    ),
}
"""Every axis, in the order of a case's id."""

DEFAULTS: AxisValues = {
    each.name: each.default for each in fields(Axes) if each.default is not NODEFAULT
}
"""The default of each axis that has one."""

if tuple(INFO) != Axes.__struct_fields__:  # pragma: no cover
    raise AssertionError("the axes and what is known of them have come apart")


def moot(axes: AxisValues) -> tuple[str, ...]:
    """The axes that have no meaning beside a case's other values.

    Args:
        axes: The case's value on each axis, or on some.
    """
    return tuple(
        name
        for name, info in INFO.items()
        if info.need is not None
        and info.need.axis in axes
        and not info.need.holds(axes[info.need.axis])
    )
