"""The relative error of each tensor of a trajectory against a reference.

The error of a tensor is the norm of its difference from the reference over the norm of the
reference. Some tensors are zero except for rounding, such as the gradient of a bias before batch
norm. So the denominator is at least a share of the norm of all tensors of the kind in the step.
"""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from stepbench.parity.trajectory import TensorPlace
from stepbench_reports.schema.parity import TensorKind

SHARE_OF_KIND = 1e-3
"""The least norm of a tensor, as a share of the norm of all tensors of the kind in the step."""

Errors = dict[TensorPlace, float]
"""Relative errors in the order of computation; infinite if not finite, missing or misshapen."""


class TrajectoryComparison:
    """The comparison of a trajectory with the reference, a step at a time.

    Args:
        steps: The reference's tensors of each step, in order.
        reference_start: The reference's parameters before the first step, by name.
        start: The parameters of the compared trajectory before the first step, by name; they may
            be perturbed by rounding.

    Attributes:
        errors: The errors of the tensors compared so far.
    """

    def __init__(
        self,
        steps: Iterable[Mapping[TensorPlace, Tensor]],
        reference_start: Mapping[str, Tensor],
        start: Mapping[str, Tensor],
    ) -> None:
        self._steps = iter(steps)
        self._reference_start = reference_start
        self._start = start
        self._step = 0
        self._expected: Mapping[TensorPlace, Tensor] = {}
        self._norms: dict[TensorKind, float] = {}
        self.errors: Errors = {}

    def visit(self, place: TensorPlace, tensor: Tensor) -> None:
        """Compares the next tensor of a trajectory; a `stepbench.parity.trajectory.Visit`."""
        while self._step < place.step:
            self._next_step()
        expected = self._expected.get(place)
        if expected is not None:
            self.errors[place] = relative_error(
                _change(place, tensor, self._start),
                _change(place, expected, self._reference_start),
                SHARE_OF_KIND * self._norms[place.kind],
                infinite=place.kind in _MAY_BE_INFINITE,
            )
        elif place.kind is TensorKind.GRADIENT and not bool(tensor.any()):
            self.errors[place] = 0.0  # compilers write out zeros that eager leaves out
        else:
            self.errors[place] = math.inf  # the reference has no such tensor

    def close(self) -> Errors:
        """Returns the errors; infinite for tensors that only the reference has."""
        while self._next_step():
            pass
        return self.errors

    def _next_step(self) -> bool:
        """Sets missing tensors' errors to infinity and loads the next step; `False` at the end."""
        for place in self._expected:
            self.errors.setdefault(place, math.inf)
        self._expected = next(self._steps, {})
        self._step += 1
        squares: dict[TensorKind, float] = {}
        for place, tensor in self._expected.items():
            norm = float(_finite(_change(place, tensor, self._reference_start)).norm())
            squares[place.kind] = squares.get(place.kind, 0.0) + norm**2
        self._norms = {kind: math.sqrt(square) for kind, square in squares.items()}
        return bool(self._expected)


_MAY_BE_INFINITE = {TensorKind.OUTPUT, TensorKind.BUFFER}
"""The kinds of tensor in which an infinity may be right: in masked scores and in masks."""


def _change(place: TensorPlace, tensor: Tensor, start: Mapping[str, Tensor]) -> Tensor:
    """A parameter's change since the start, the effect of training; other tensors are unchanged."""
    value = _double(tensor)
    if place.kind is not TensorKind.PARAMETER or place.name not in start:
        return value
    before = _double(start[place.name])
    return value - before if value.shape == before.shape else value


def relative_error(
    tensor: Tensor, expected: Tensor, min_norm: float, *, infinite: bool = False
) -> float:
    """The relative root mean square error of a tensor.

    Args:
        tensor: The computed tensor.
        expected: The reference, of the same shape.
        min_norm: The least denominator of the error.
        infinite: Accept an infinity if the reference has the same infinity at that element.

    Returns:
        The error; infinite if the shapes differ, if an element is not finite, or if the denominator
        is zero and the tensors differ.
    """
    value, reference = _double(tensor), _double(expected)
    if value.shape != reference.shape:
        return math.inf
    ignored = torch.zeros_like(value, dtype=torch.bool)
    if infinite:
        ignored = (value == reference) & reference.isinf()
    if not all(bool((part.isfinite() | ignored).all()) for part in (value, reference)):
        return math.inf
    value, reference = _finite(value), _finite(reference)
    difference = float((value - reference).norm())
    if difference == 0:
        return 0.0
    scale = max(float(reference.norm()), min_norm)
    error = difference / scale if scale > 0 else math.inf
    return error if math.isfinite(error) else math.inf


def _finite(tensor: Tensor) -> Tensor:
    """Replaces the elements of a tensor that are not finite by zeros."""
    return tensor.nan_to_num(0.0, 0.0, 0.0)


def _double(tensor: Tensor) -> Tensor:
    dense = tensor.detach().to_dense() if tensor.layout is not torch.strided else tensor.detach()
    real = torch.view_as_real(dense) if dense.is_complex() else dense
    return real.to("cpu", torch.float64)
