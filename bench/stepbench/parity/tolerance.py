"""The tolerance of each tensor.

It is a multiple of the error that eager execution has in the same precision, and a floor.
The rule is that of PyTorch's own benchmarks (`torch._dynamo.utils.same`, which allows 2 to 3 times
the error of eager against fp64, 10 times for small tensors, and a floor of a tenth of the
tolerance); `docs/parity.md` says what differs, and why.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from stepbench.parity.reference_errors import Errors
from stepbench.parity.trajectory import TensorPlace
from stepbench_reports.schema.parity import TensorKind

MULTIPLE = 10.0
"""How many times eager's own error a case's may be."""
FLOORS = {"fp32": 1e-5, "tf32": 1e-3, "bf16": 1e-2, "fp16": 1e-3}
"""What is allowed beside it: some 160 units in the last place of fp32, 2 of tf32 and fp16, 2.5 of
bf16."""
MEANINGLESS = {"fp32": 0.05, "tf32": 0.2, "bf16": 0.5, "fp16": 0.5}
"""Where eager's own error is above this for most tensors, it cannot tell right from wrong."""


# --- what is allowed -----------------------------------------------------------------------------


@dataclass(frozen=True)
class TensorDeviation:
    """A tensor beside what it is allowed.

    Attributes:
        place: Where it stands.
        error: Its error.
        allowed: How large that may be.
        own: Eager's own error in the same precision.
    """

    place: TensorPlace
    error: float
    allowed: float
    own: float

    @property
    def ratio(self) -> float:
        """Error over allowance; above 1 it departs."""
        return self.error / self.allowed


def eager_errors(runs: Iterable[Errors]) -> Errors:
    """Eager's own error at each place: the largest of several runs', and no less than the middle.

    A single tensor can come out right by luck, above all a number such as the loss; so it counts as
    no less than the median error of the tensors of its step, those of its kind, or for the loss
    those of the outputs.

    Args:
        runs: Errors of eager runs in one precision.
    """
    largest: Errors = {}
    for errors in runs:
        for place, error in errors.items():
            largest[place] = max(error, largest.get(place, 0.0))
    middles = middle_errors(largest)
    return {place: max(error, middles[_group(place)]) for place, error in largest.items()}


def middle_errors(errors: Errors) -> dict[tuple[int, TensorKind], float]:
    """The median error of the tensors of a kind in a step, a loss counting among the outputs."""
    alike: dict[tuple[int, TensorKind], list[float]] = {}
    for place, error in errors.items():
        alike.setdefault(_group(place), []).append(error)
    return {group: median(errors) for group, errors in alike.items()}


def _group(place: TensorPlace) -> tuple[int, TensorKind]:
    return place.step, TensorKind.OUTPUT if place.kind is TensorKind.LOSS else place.kind


def deviations(errors: Errors, own: Errors, precision: str) -> list[TensorDeviation]:
    """Each tensor beside what it is allowed, in the order of computing.

    Beyond the horizon only what is not finite is told.

    Args:
        errors: A case's.
        own: Eager's in the same precision.
        precision: Which.
    """
    floor, until = FLOORS[precision], horizon(own, precision)
    return [
        TensorDeviation(place, error, MULTIPLE * own.get(place, 0.0) + floor, own.get(place, 0.0))
        for place, error in errors.items()
        if place.step <= until or not math.isfinite(error)
    ]


def out_of_tolerance(found: Iterable[TensorDeviation]) -> list[TensorDeviation]:
    """Selects the tensors that are further off than they may be."""
    return [each for each in found if not each.ratio <= 1]


def least(runs: list[Errors]) -> Errors:
    """The smallest error of each tensor over several runs; infinite where one lacks it."""
    places = dict.fromkeys(place for errors in runs for place in errors)
    return {place: min(errors.get(place, math.inf) for errors in runs) for place in places}


def horizon(own: Errors, precision: str) -> int:
    """The last step up to which eager's own error says anything; 0 where not even the first.

    Training can be so sensitive that rounding alone makes another trajectory of it.
    """
    blurred = {
        step
        for (step, _), error in middle_errors(own).items()
        if not error <= MEANINGLESS[precision]
    }
    steps = {place.step for place in own}
    return min(blurred, default=max(steps, default=0) + 1) - 1


def worst_by_kind(found: Iterable[TensorDeviation]) -> Iterator[tuple[TensorKind, TensorDeviation]]:
    """For each kind of tensor, the one closest to its allowance, or furthest beyond it."""
    worst: dict[TensorKind, TensorDeviation] = {}
    for each in found:
        known = worst.get(each.place.kind)
        if known is None or each.ratio > known.ratio:
            worst[each.place.kind] = each
    yield from worst.items()
