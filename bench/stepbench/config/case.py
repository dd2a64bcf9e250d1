"""A case: a workload with one value for each axis.

Torch is not needed, so that cases can be listed at once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from stepbench.config.axes import AXES, AXIS, COMPILE_MODES, OWN_DATASET


@dataclass(frozen=True, kw_only=True)
class Case:
    """One point of the matrix. Frozen and hashable; its fields are the axes, in order."""

    workload: str
    """A shipped name, `path/to/file.py:make` or `package.module:make`."""
    dataset: str = OWN_DATASET
    """A name from `stepbench.config.axes.DATASETS`, or `own`: the workload's own."""
    loop: str = "train"
    """`train`, or `eval`: evaluation mode under `no_grad`."""
    device: str = "cpu"
    """As torch writes it: `cpu`, `cuda`, `cuda:1`, `mps`, `xpu`."""
    batch_size: int = 4
    accumulate: int = 1
    """Backward passes to one step of the optimizer."""
    num_workers: int = 0
    prefetch_factor: int = 2
    """Batches that each loader worker keeps ready."""
    persistent_workers: bool = False
    pin_memory: bool = False
    non_blocking: bool = False
    compile: str = "off"
    """`off`, a mode of `torch.compile`, or `backend:NAME`."""
    dynamic: str = "auto"
    """`on` compiles shapes as variable, `off` as fixed; `auto` decides at the second shape."""
    precision: str = "fp32"
    channels_last: bool = False
    optimizer: str = "own"
    """`own` leaves its implementation to the workload; `plain`, `foreach`, `fused`."""

    @property
    def id(self) -> str:
        """A readable name, such as `convnet-cpu-b32-w2-default-fp32`; fit for a file's name."""
        return "-".join(filter(None, (axis.label(getattr(self, axis.name)) for axis in AXES)))

    @property
    def uncompiled(self) -> "Case":
        """The same case without `torch.compile`."""
        return replace(self, compile="off").normalized()

    @property
    def compile_key(self) -> "Case":
        """The case that stands for all cases that compile to the same code as this one."""
        return self._with_defaults(_UNSEEN_BY_COMPILERS).normalized()

    @property
    def numerics_key(self) -> "Case":
        """The case that stands for all cases with the same numerics, however they load data."""
        return self._with_defaults(_UNSEEN_BY_NUMERICS).normalized()

    @property
    def twin(self) -> "Case":
        """Eager fp32 on the same device, whose trained model this case's is compared with."""
        return replace(
            self.numerics_key, compile="off", channels_last=False, optimizer="own", precision="fp32"
        ).normalized()

    @property
    def eager_same_precision(self) -> "Case":
        """Eager execution in the same precision, by whose error this case's is judged.

        In fp32 it runs on the CPU, so that a device which rounds more than that is found out.
        """
        plain = replace(self.numerics_key, compile="off", channels_last=False, optimizer="own")
        return (replace(plain, device="cpu") if self.precision == "fp32" else plain).normalized()

    @property
    def reference(self) -> "Case":
        """The case that computes the reference: eager on the CPU; it is run in double precision."""
        return replace(self.eager_same_precision, device="cpu", precision="fp32").normalized()

    @property
    def has_compile_cache(self) -> bool:
        """True where the case is compiled by Inductor, which keeps its results."""
        return self.compile in {*COMPILE_MODES[1:], "backend:inductor"}

    @property
    def samples(self) -> int:
        """The number of samples in a step."""
        return self.batch_size * self.accumulate

    @property
    def trains(self) -> bool:
        """True where the case runs the training loop, not the evaluation loop."""
        return self.loop == "train"

    def normalized(self) -> "Case":
        """The same case with the axes that have no meaning in it at their defaults."""
        moot = [name for name, (needs, _) in NEEDS.items() if not needs(self)]
        return self._with_defaults(moot)

    def _with_defaults(self, names: Iterable[str]) -> "Case":
        changes: dict[str, Any] = {name: DEFAULTS[name] for name in names}
        return replace(self, **changes)

    def values(self) -> dict[str, Any]:
        """The axes and this case's value on each."""
        return {axis.name: getattr(self, axis.name) for axis in AXES}


if tuple(AXIS) != tuple(field.name for field in fields(Case)):  # pragma: no cover
    raise AssertionError("the axes and the fields of Case have come apart")


_UNSEEN_BY_NUMERICS = (
    "num_workers", "prefetch_factor", "persistent_workers", "pin_memory", "non_blocking",
)  # fmt: skip
_UNSEEN_BY_COMPILERS = ("accumulate", "optimizer", *_UNSEEN_BY_NUMERICS)
DEFAULTS = {field.name: field.default for field in fields(Case)}


def _has_workers(case: Case) -> bool:
    return case.num_workers > 0


def _transfers(case: Case) -> bool:
    return case.device != "cpu"


NEEDS: dict[str, tuple[Callable[[Case], bool], str]] = {
    "prefetch_factor": (_has_workers, "needs loader workers; give --num-workers 1 or more"),
    "persistent_workers": (_has_workers, "needs loader workers; give --num-workers 1 or more"),
    "pin_memory": (_transfers, "is of use only to transfers; give a --device other than cpu"),
    "non_blocking": (_transfers, "is of use only to transfers; give a --device other than cpu"),
    "dynamic": (lambda case: case.compile != "off", "is for torch.compile; give a --compile mode"),
    "accumulate": (lambda case: case.trains, "is for training; give --loop train"),
    "optimizer": (lambda case: case.trains, "is for training; give --loop train"),
}
"""The axes that have a meaning in some cases only: which cases these are, and the remedy."""
