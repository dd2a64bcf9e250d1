"""The axes: a case's value on each axis, and the defaults.

`axis_labels` has the words for axes and values.
"""

from collections.abc import Mapping
from typing import Any, Self, TypeAlias

from msgspec import NODEFAULT
from msgspec.structs import asdict, fields, replace

from stepbench_reports.schema.axis_labels import EAGER, INFO
from stepbench_reports.schema.names import file_name
from stepbench_reports.schema.record import Count, Positive, Record

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
        return replace(self, **values)

    def normalized(self) -> Self:
        """Returns the case with every axis that has no meaning for it reset to its default."""
        return self.changed(**{name: DEFAULTS[name] for name in moot(self.values())})

    @property
    def id(self) -> str:
        """The case's readable id, safe in file names: `convnet-cpu-b32-w2-default-fp32`."""
        labels = (info.label(getattr(self, name)) for name, info in INFO.items())
        return file_name("-".join(file_name(label) for label in labels if label))


DEFAULTS: AxisValues = {
    axis.name: axis.default for axis in fields(Axes) if axis.default is not NODEFAULT
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
