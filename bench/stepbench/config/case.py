"""A case: a workload with one value for each axis.

Torch is not needed, so that cases can be listed at once.
"""

from collections.abc import Iterable

from stepbench.config.axes import AXIS, COMPILE_MODES
from stepbench_reports.schema.axes import DEFAULTS, Axes


class Case(Axes, frozen=True, kw_only=True):
    """One point of the matrix. Frozen and hashable; its fields are the axes, in order."""

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
        return self.numerics_key.changed(
            compile="off", channels_last=False, optimizer="own", precision="fp32"
        ).normalized()

    @property
    def eager_same_precision(self) -> "Case":
        """Eager execution in the same precision, by whose error this case's is judged.

        In fp32 it runs on the CPU, so that a device which rounds more than that is found out.
        """
        plain = self.numerics_key.changed(compile="off", channels_last=False, optimizer="own")
        return (plain.changed(device="cpu") if self.precision == "fp32" else plain).normalized()

    @property
    def reference(self) -> "Case":
        """The case that computes the reference: eager on the CPU; it is run in double precision."""
        return self.eager_same_precision.changed(device="cpu", precision="fp32").normalized()

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

    def _with_defaults(self, names: Iterable[str]) -> "Case":
        return self.changed(**{name: DEFAULTS[name] for name in names})


if tuple(AXIS) != Case.__struct_fields__:  # pragma: no cover
    raise AssertionError("the axes and the fields of Case have come apart")


_UNSEEN_BY_NUMERICS = (
    "num_workers", "prefetch_factor", "persistent_workers", "pin_memory", "non_blocking",
)  # fmt: skip
_UNSEEN_BY_COMPILERS = ("accumulate", "optimizer", *_UNSEEN_BY_NUMERICS)
