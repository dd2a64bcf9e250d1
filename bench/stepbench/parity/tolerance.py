"""The tolerance of each tensor.

The tolerance is a multiple of eager's error in the same precision, plus a floor. In fp32 that is
eager's error on the CPU. On another device, that device's own eager error can raise the tolerance,
but only to a limit that is below the error of TF32.

The rule follows that of PyTorch's benchmarks, `torch._dynamo.utils.same`. That function allows 2 to
3 times the error of eager against fp64, 10 times for small tensors, and a floor of a tenth of the
tolerance. `docs/parity.md` gives the differences, with their reasons.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from stepbench.parity.reference_errors import Errors
from stepbench.parity.trajectory import TensorPlace
from stepbench_reports.schema.parity import TensorKind

MULTIPLE = 10.0
"""The factor on eager's error in the tolerance."""
FLOORS = {"fp32": 1e-5, "tf32": 1e-3, "bf16": 1e-2, "fp16": 1e-3}
"""The floor that is added, a relative error: about 170 times the unit roundoff of fp32, twice that
of tf32 and fp16, 2.5 times that of bf16."""
MAX_DEVICE_TOLERANCE = 1e-4
"""The largest tolerance in fp32 that follows from the eager error of the case's own device.

A device may sum in another order than the CPU, or use other algorithms for convolutions, and round
several times as much in correct fp32. TF32 rounds each number by up to 5e-4, which exceeds this.
"""
MAX_MEDIAN_ERRORS = {"fp32": 0.05, "tf32": 0.2, "bf16": 0.5, "fp16": 0.5}
"""The largest median of eager's errors in a step that still allows a verdict on the step."""


# --- errors and tolerances -----------------------------------------------------------------------


@dataclass(frozen=True)
class TensorDeviation:
    """The error of a tensor and its tolerance; errors are relative.

    Attributes:
        place: The tensor's place in the trajectory.
        error: The tensor's error.
        allowed: The largest error within tolerance.
        eager_error: Eager's error in the same precision; in fp32, on the CPU.
    """

    place: TensorPlace
    error: float
    allowed: float
    eager_error: float

    @property
    def ratio(self) -> float:
        """The error over the allowed error; above 1 the tensor is out of tolerance."""
        return self.error / self.allowed


def largest_eager_errors(runs: Iterable[Errors]) -> Errors:
    """Eager's error of each tensor: the largest of several runs, and at least the median.

    A single tensor can be right by chance, above all a number such as the loss. So its error counts
    as at least the median error of the tensors of the same kind in the same step. The loss counts
    among the outputs.

    Args:
        runs: The errors of each eager run in one precision.
    """
    largest: Errors = {}
    for errors in runs:
        for place, error in errors.items():
            largest[place] = max(error, largest.get(place, 0.0))
    medians = median_errors(largest)
    return {place: max(error, medians[_group(place)]) for place, error in largest.items()}


def median_errors(errors: Errors) -> dict[tuple[int, TensorKind], float]:
    """The median error of each step and kind of tensor; losses count among the outputs."""
    groups: dict[tuple[int, TensorKind], list[float]] = {}
    for place, error in errors.items():
        groups.setdefault(_group(place), []).append(error)
    return {group: median(errors) for group, errors in groups.items()}


def _group(place: TensorPlace) -> tuple[int, TensorKind]:
    return place.step, TensorKind.OUTPUT if place.kind is TensorKind.LOSS else place.kind


def allowed_error(eager_error: float, precision: str, device_error: float | None = None) -> float:
    """The tolerance of a tensor, a relative error.

    Args:
        eager_error: Eager's error of the tensor in the same precision; in fp32, on the CPU.
        precision: The precision, a key of `FLOORS`.
        device_error: In fp32 on a device other than the CPU, eager's error on that device.
    """
    allowed = MULTIPLE * eager_error + FLOORS[precision]
    if device_error is None:
        return allowed
    on_device = MULTIPLE * device_error + FLOORS[precision]
    return max(allowed, min(on_device, MAX_DEVICE_TOLERANCE))


def deviations(
    errors: Errors, eager_errors: Errors, precision: str, device_errors: Errors | None = None
) -> list[TensorDeviation]:
    """The error and the tolerance of each tensor, in the order of computation.

    After the last step that can be judged (`last_judged_step`), only infinite errors are returned.

    Args:
        errors: The case's errors.
        eager_errors: Eager's errors in the same precision; in fp32, on the CPU.
        precision: The precision, a key of `FLOORS`.
        device_errors: In fp32 on a device other than the CPU, eager's errors on that device.
    """
    last_step, on_device = last_judged_step(eager_errors, precision), device_errors or {}

    def deviation(place: TensorPlace, error: float) -> TensorDeviation:
        eager_error = eager_errors.get(place, 0.0)
        allowed = allowed_error(eager_error, precision, on_device.get(place))
        return TensorDeviation(place, error, allowed, eager_error)

    return [
        deviation(place, error)
        for place, error in errors.items()
        if place.step <= last_step or not math.isfinite(error)
    ]


def out_of_tolerance(tensors: Iterable[TensorDeviation]) -> list[TensorDeviation]:
    """Selects the tensors whose error is above the tolerance, or NaN."""
    return [tensor for tensor in tensors if not tensor.ratio <= 1]


def smallest_errors(runs: list[Errors]) -> Errors:
    """Each tensor's smallest error over several runs; a run without the tensor counts as inf."""
    places = dict.fromkeys(place for errors in runs for place in errors)
    return {place: min(errors.get(place, math.inf) for errors in runs) for place in places}


def last_judged_step(eager_errors: Errors, precision: str) -> int:
    """The last step at which eager's error is still meaningful; 0 if it is at none.

    A training can be so sensitive that rounding alone leads to another trajectory.
    """
    inaccurate_steps = {
        step
        for (step, _), error in median_errors(eager_errors).items()
        if not error <= MAX_MEDIAN_ERRORS[precision]
    }
    steps = {place.step for place in eager_errors}
    return min(inaccurate_steps, default=max(steps, default=0) + 1) - 1


def worst_by_kind(
    tensors: Iterable[TensorDeviation],
) -> Iterator[tuple[TensorKind, TensorDeviation]]:
    """Yields, for each kind of tensor, the one with the largest ratio of error to allowed error."""
    worst: dict[TensorKind, TensorDeviation] = {}
    for tensor in tensors:
        previous = worst.get(tensor.place.kind)
        if previous is None or tensor.ratio > previous.ratio:
            worst[tensor.place.kind] = tensor
    yield from worst.items()
