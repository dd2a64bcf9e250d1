"""A case: a workload with one value for each axis.

Torch is not imported, so listing cases is fast.
"""

from collections.abc import Iterable

from stepbench.config.axes import AXIS, COMPILE_MODES, CUDA_GRAPH_MODES
from stepbench_reports.schema.axes import DEFAULTS, Axes


class Case(Axes, frozen=True, kw_only=True):
    """One point of the matrix. Frozen and hashable; its fields are the axes, in order."""

    @property
    def compile_key(self) -> "Case":
        """The representative of all cases that compile to the same code as this case."""
        return self._with_defaults(_NO_EFFECT_ON_COMPILATION).normalized()

    @property
    def numerics_key(self) -> "Case":
        """Returns this case with every axis of data loading and transfer at its default.

        Cases that differ only on these axes compute the same numbers and have an equal key.
        """
        return self._with_defaults(_NO_EFFECT_ON_NUMERICS).normalized()

    @property
    def variant_key(self) -> "Case":
        """The representative of all cases that differ only in how they compute the same step.

        These are compiled and uncompiled ones, precisions, and the optimizer's implementations.
        """
        return self._with_defaults(_HOW_TO_COMPUTE).normalized()

    @property
    def eager_fp32(self) -> "Case":
        """The case to compare trained models with: eager fp32 on the same device."""
        return self.numerics_key.changed(
            compile="off", channels_last=False, optimizer="own", precision="fp32"
        ).normalized()

    @property
    def eager_same_precision(self) -> "Case":
        """The case whose error sets the tolerance: eager execution in the same precision.

        For fp32 the device is the CPU, to detect devices that round more than the CPU.
        """
        plain = self.eager_on_device
        return (plain.changed(device="cpu") if self.precision == "fp32" else plain).normalized()

    @property
    def eager_on_device(self) -> "Case":
        """Eager execution in the same precision on the case's own device."""
        plain = self.numerics_key.changed(compile="off", channels_last=False, optimizer="own")
        return plain.normalized()

    @property
    def reference(self) -> "Case":
        """The case that computes the reference: eager on the CPU, run in double precision."""
        return self.eager_same_precision.changed(device="cpu", precision="fp32").normalized()

    @property
    def has_compile_cache(self) -> bool:
        """True if Inductor compiles the case; Inductor caches compiled code."""
        return self.compile in {*COMPILE_MODES[1:], "backend:inductor"}

    @property
    def uses_cuda_graphs(self) -> bool:
        """True if torch replays the case's compiled code as CUDA graphs, unless it skips them."""
        return self.device.partition(":")[0] == "cuda" and self.compile in CUDA_GRAPH_MODES

    @property
    def overwrites_gradients(self) -> bool:
        """True if a CUDA graph's next replay overwrites the gradients that the case accumulates."""
        return self.uses_cuda_graphs and self.trains and self.accumulate > 1

    @property
    def samples(self) -> int:
        """The number of samples in a step."""
        return self.batch_size * self.accumulate

    @property
    def trains(self) -> bool:
        """True if the case runs the training loop, not the evaluation loop."""
        return self.loop == "train"

    def _with_defaults(self, names: Iterable[str]) -> "Case":
        return self.changed(**{name: DEFAULTS[name] for name in names})


if tuple(AXIS) != Case.__struct_fields__:  # pragma: no cover
    raise AssertionError("AXES does not list the fields of Case, in their order")


_NO_EFFECT_ON_NUMERICS = (
    "num_workers", "prefetch_factor", "persistent_workers", "pin_memory", "non_blocking",
)  # fmt: skip
_HOW_TO_COMPUTE = ("compile", "dynamic", "precision", "optimizer")
_NO_EFFECT_ON_COMPILATION = ("accumulate", "optimizer", *_NO_EFFECT_ON_NUMERICS)
