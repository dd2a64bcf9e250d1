"""How far a trajectory is from a reference, and how far it may be.

The error of a tensor is relative: the root mean square of its difference from the reference over
that of the reference. Some tensors are zero but for rounding (the gradient of a bias before batch
norm), so that the denominator is never less than a share of the norm of all tensors of the kind.

What is allowed is a multiple of the error that eager execution has in the same precision, and a
floor beside it. The rule is that of PyTorch's own benchmarks (`torch._dynamo.utils.same`, which
allows 2 to 3 times the error of eager against fp64, 10 times for small tensors, and a floor of a
tenth of the tolerance); `docs/parity.md` says what differs, and why.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from bench.trajectory import Kind, Place

MULTIPLE = 10.0
"""How many times eager's own error a case's may be."""
FLOORS = {"fp32": 1e-5, "tf32": 1e-3, "bf16": 1e-2, "fp16": 1e-3}
"""What is allowed beside it: some 160 units in the last place of fp32, 2 of tf32 and fp16, 2.5 of
bf16."""
SHARE_OF_KIND = 1e-3
"""A tensor's norm counts as at least this share of that of all tensors of its kind in the step."""
MEANINGLESS = {"fp32": 0.05, "tf32": 0.2, "bf16": 0.5, "fp16": 0.5}
"""Where eager's own error is above this for most tensors, it cannot tell right from wrong."""

Errors = dict[Place, float]
"""The relative error of each tensor, in the order of computing; infinite where it is not finite."""


class Reference:
    """What a trajectory is compared with, a step at a time.

    Args:
        steps: The tensors of each step, in order.
        start: Parameters before the first, by name.
        begun: The same of the trajectory that is compared, which may be off by rounding.

    Attributes:
        errors: Of what was compared so far.
    """

    def __init__(
        self,
        steps: Iterable[Mapping[Place, Tensor]],
        start: Mapping[str, Tensor],
        begun: Mapping[str, Tensor],
    ) -> None:
        self._steps = iter(steps)
        self._start = start
        self._begun = begun
        self._step = 0
        self._expected: Mapping[Place, Tensor] = {}
        self._norms: dict[Kind, float] = {}
        self.errors: Errors = {}

    def visit(self, place: Place, tensor: Tensor) -> None:
        """Compares the next tensor of a trajectory; see `bench.trajectory.follow`."""
        while self._step < place.step:
            self._go_on()
        expected = self._expected.get(place)
        if expected is not None:
            self.errors[place] = relative_error(
                _change(place, tensor, self._begun),
                _change(place, expected, self._start),
                SHARE_OF_KIND * self._norms[place.kind],
                infinite=place.kind in _MAY_BE_INFINITE,
            )
        elif place.kind is Kind.GRADIENT and not bool(tensor.any()):
            self.errors[place] = 0.0  # compilers write out what eager leaves away
        else:
            self.errors[place] = math.inf  # computed where the reference computes nothing

    def close(self) -> Errors:
        """The errors; infinite for what the reference has and the trajectory does not."""
        while self._go_on():
            pass
        return self.errors

    def _go_on(self) -> bool:
        """Turns to the next step, with what is missing in this one noted; `False` at the end."""
        for place in self._expected:
            self.errors.setdefault(place, math.inf)
        self._expected = next(self._steps, {})
        self._step += 1
        squares: dict[Kind, float] = {}
        for place, tensor in self._expected.items():
            norm = float(_finite(_change(place, tensor, self._start)).norm())
            squares[place.kind] = squares.get(place.kind, 0.0) + norm**2
        self._norms = {kind: math.sqrt(square) for kind, square in squares.items()}
        return bool(self._expected)


_MAY_BE_INFINITE = {Kind.OUTPUT, Kind.BUFFER}
"""Where an infinity may belong: masked scores, and the masks themselves."""


def _change(place: Place, tensor: Tensor, start: Mapping[str, Tensor]) -> Tensor:
    """Of a parameter its change since the start, for that is what training did; else all of it."""
    value = _double(tensor)
    if place.kind is not Kind.PARAMETER or place.name not in start:
        return value
    before = _double(start[place.name])
    return value - before if value.shape == before.shape else value


def relative_error(
    tensor: Tensor, expected: Tensor, least_norm: float, *, infinite: bool = False
) -> float:
    """The relative root mean square error of a tensor.

    Args:
        tensor: What was computed.
        expected: What it should be.
        least_norm: What the norm of what is expected counts as at least.
        infinite: Whether infinities are right where the same ones are expected.

    Returns:
        The error; infinite where the shapes differ or the tensor is not finite, or where it should
        be zero and is not.
    """
    found, wanted = _double(tensor), _double(expected)
    if found.shape != wanted.shape:
        return math.inf
    agreed = (found == wanted) & wanted.isinf() if infinite else torch.zeros_like(found).bool()
    if not bool((found.isfinite() | agreed).all()) or not bool((wanted.isfinite() | agreed).all()):
        return math.inf
    found, wanted = _finite(found), _finite(wanted)
    difference = float((found - wanted).norm())
    if difference == 0:
        return 0.0
    scale = max(float(wanted.norm()), least_norm)
    error = difference / scale if scale > 0 else math.inf
    return error if math.isfinite(error) else math.inf


def _finite(tensor: Tensor) -> Tensor:
    """A tensor with zeros where it is not finite."""
    return tensor.nan_to_num(0.0, 0.0, 0.0)


def _double(tensor: Tensor) -> Tensor:
    dense = tensor.detach().to_dense() if tensor.layout is not torch.strided else tensor.detach()
    real = torch.view_as_real(dense) if dense.is_complex() else dense
    return real.to("cpu", torch.float64)


# --- what is allowed -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Departure:
    """A tensor beside what it is allowed.

    Attributes:
        place: Where it stands.
        error: Its error.
        allowed: How large that may be.
        own: Eager's own error in the same precision.
    """

    place: Place
    error: float
    allowed: float
    own: float

    @property
    def ratio(self) -> float:
        """Error over allowance; above 1 it departs."""
        return self.error / self.allowed


def own_errors(runs: Iterable[Errors]) -> Errors:
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


def middle_errors(errors: Errors) -> dict[tuple[int, Kind], float]:
    """The median error of the tensors of a kind in a step, a loss counting among the outputs."""
    alike: dict[tuple[int, Kind], list[float]] = {}
    for place, error in errors.items():
        alike.setdefault(_group(place), []).append(error)
    return {group: median(errors) for group, errors in alike.items()}


def _group(place: Place) -> tuple[int, Kind]:
    return place.step, Kind.OUTPUT if place.kind is Kind.LOSS else place.kind


def judged(errors: Errors, own: Errors, precision: str) -> list[Departure]:
    """Each tensor beside what it is allowed, in the order of computing.

    Beyond the horizon only what is not finite is told.

    Args:
        errors: A case's.
        own: Eager's in the same precision.
        precision: Which.
    """
    floor, until = FLOORS[precision], horizon(own, precision)
    return [
        Departure(place, error, MULTIPLE * own.get(place, 0.0) + floor, own.get(place, 0.0))
        for place, error in errors.items()
        if place.step <= until or not math.isfinite(error)
    ]


def departed(found: Iterable[Departure]) -> list[Departure]:
    """Those that are further off than they may be."""
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


def worst_by_kind(found: Iterable[Departure]) -> Iterator[tuple[Kind, Departure]]:
    """For each kind of tensor, the one closest to its allowance, or furthest beyond it."""
    worst: dict[Kind, Departure] = {}
    for each in found:
        known = worst.get(each.place.kind)
        if known is None or each.ratio > known.ratio:
            worst[each.place.kind] = each
    yield from worst.items()
