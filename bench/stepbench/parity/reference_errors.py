"""The relative error of each tensor of a trajectory against a reference.

The error of a tensor is relative: the root mean square of its difference from the reference over
that of the reference. Some tensors are zero but for rounding (the gradient of a bias before batch
norm), so that the denominator is never less than a share of the norm of all tensors of the kind.
"""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from stepbench.parity.trajectory import TensorPlace
from stepbench_reports.schema.parity import TensorKind

SHARE_OF_KIND = 1e-3
"""A tensor's norm counts as at least this share of that of all tensors of its kind in the step."""

Errors = dict[TensorPlace, float]
"""The relative error of each tensor, in the order of computing; infinite where it is not finite."""


class Reference:
    """The comparison of a trajectory with its reference, a step at a time.

    Args:
        steps: The tensors of each step, in order.
        start: Parameters before the first, by name.
        begun: The same of the trajectory that is compared, which may be off by rounding.

    Attributes:
        errors: Of what was compared so far.
    """

    def __init__(
        self,
        steps: Iterable[Mapping[TensorPlace, Tensor]],
        start: Mapping[str, Tensor],
        begun: Mapping[str, Tensor],
    ) -> None:
        self._steps = iter(steps)
        self._start = start
        self._begun = begun
        self._step = 0
        self._expected: Mapping[TensorPlace, Tensor] = {}
        self._norms: dict[TensorKind, float] = {}
        self.errors: Errors = {}

    def visit(self, place: TensorPlace, tensor: Tensor) -> None:
        """Compares the next tensor of a trajectory; see `stepbench.parity.trajectory.follow`."""
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
        elif place.kind is TensorKind.GRADIENT and not bool(tensor.any()):
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
        squares: dict[TensorKind, float] = {}
        for place, tensor in self._expected.items():
            norm = float(_finite(_change(place, tensor, self._start)).norm())
            squares[place.kind] = squares.get(place.kind, 0.0) + norm**2
        self._norms = {kind: math.sqrt(square) for kind, square in squares.items()}
        return bool(self._expected)


_MAY_BE_INFINITE = {TensorKind.OUTPUT, TensorKind.BUFFER}
"""Where an infinity may belong: masked scores, and the masks themselves."""


def _change(place: TensorPlace, tensor: Tensor, start: Mapping[str, Tensor]) -> Tensor:
    """The change of a parameter since the start, for that is what training did; else the tensor."""
    value = _double(tensor)
    if place.kind is not TensorKind.PARAMETER or place.name not in start:
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
