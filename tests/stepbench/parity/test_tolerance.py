import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stepbench.parity.reference_errors import Errors, TrajectoryComparison, relative_error
from stepbench.parity.tolerance import (
    FLOORS,
    MAX_DEVICE_TOLERANCE,
    MULTIPLE,
    allowed_error,
    deviations,
    largest_eager_errors,
    last_judged_step,
    out_of_tolerance,
    smallest_errors,
    worst_by_kind,
)
from stepbench.parity.trajectory import TensorPlace
from stepbench_reports.schema.parity import TensorKind

OUTPUT = TensorPlace(1, TensorKind.OUTPUT, "output")
LOSS = TensorPlace(1, TensorKind.LOSS, "loss")
WEIGHT, BIAS = (
    TensorPlace(1, TensorKind.GRADIENT, "weight"),
    TensorPlace(1, TensorKind.GRADIENT, "bias"),
)
AFTER = TensorPlace(1, TensorKind.PARAMETER, "weight")


def comparison_with_reference() -> TrajectoryComparison:
    step = {
        OUTPUT: torch.tensor([3.0, 4.0]).double(),
        LOSS: torch.tensor(2.0).double(),
        WEIGHT: torch.tensor([30.0, 40.0]).double(),
        BIAS: torch.tensor([1e-12]).double(),
        AFTER: torch.tensor([1.01]).double(),
    }
    start = {"weight": torch.ones(1) * 1.5}  # another start than the reference's
    return TrajectoryComparison([step], {"weight": torch.ones(1)}, start)


@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=20),
    st.floats(1e-6, 0.5),
)
def test_a_tensor_that_is_scaled_is_off_by_the_scale(numbers: list[float], by: float) -> None:
    expected = torch.tensor([*numbers, 1.0]).double()
    error = relative_error(expected * (1 + by), expected, 0.0)
    assert error == pytest.approx(by, rel=1e-6)


def test_an_exact_tensor_has_no_error_also_where_it_is_zero() -> None:
    assert relative_error(torch.zeros(3), torch.zeros(3), 0.0) == 0.0
    assert math.isinf(relative_error(torch.ones(3), torch.zeros(3), 0.0))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_infinitely_far_off(wrong: float) -> None:
    assert math.isinf(relative_error(torch.tensor([1.0, wrong]), torch.ones(2), 0.0))
    # also where the reference is no better
    same = torch.tensor([1.0, wrong])
    assert math.isinf(relative_error(same, same.double(), 0.0))


def test_another_shape_is_infinitely_far_off() -> None:
    assert math.isinf(relative_error(torch.ones(2, 1), torch.ones(2), 0.0))


def test_a_gradient_that_is_zero_in_theory_is_measured_by_all_gradients() -> None:
    comparison = comparison_with_reference()
    comparison.visit(BIAS, torch.tensor([3e-7]))
    assert comparison.errors[BIAS] == pytest.approx(3e-7 / (50 * 1e-3), rel=1e-3)


def test_a_parameter_is_compared_by_its_change() -> None:
    comparison = comparison_with_reference()
    comparison.visit(AFTER, torch.tensor([1.5]))  # as if it had been skipped
    assert comparison.errors[AFTER] == pytest.approx(1.0, rel=1e-4)
    comparison.visit(AFTER, torch.tensor([1.51]))
    assert comparison.errors[AFTER] == pytest.approx(0.0, abs=1e-4)


def test_an_infinity_that_the_reference_has_is_no_error() -> None:
    masked = torch.tensor([1.0, -math.inf])
    assert relative_error(masked, masked.double(), 0.0, infinite=True) == 0.0
    assert relative_error(masked * 1.5, masked.double(), 0.0, infinite=True) == pytest.approx(0.5)
    assert math.isinf(relative_error(-masked, masked.double(), 0.0, infinite=True))
    with_nan = torch.tensor([math.nan, -math.inf])
    assert math.isinf(relative_error(with_nan, with_nan.double(), 0.0, infinite=True))


def test_a_gradient_of_zeros_is_none() -> None:
    comparison = comparison_with_reference()
    other = TensorPlace(1, TensorKind.GRADIENT, "other")
    comparison.visit(other, torch.zeros(3))
    assert comparison.errors[other] == 0.0


def test_what_is_missing_and_what_is_too_much_are_infinitely_far_off() -> None:
    comparison = comparison_with_reference()
    comparison.visit(OUTPUT, torch.tensor([3.0, 4.0]))
    comparison.visit(TensorPlace(1, TensorKind.GRADIENT, "other"), torch.ones(1))
    errors = comparison.close()
    assert errors[OUTPUT] == 0
    assert all(math.isinf(errors[p]) for p in errors if p != OUTPUT)
    assert {WEIGHT, BIAS, LOSS, AFTER} < set(errors)


def test_eager_s_error_is_the_largest_and_at_least_the_median() -> None:
    other = TensorPlace(1, TensorKind.GRADIENT, "other")
    runs: list[Errors] = [
        {OUTPUT: 1e-7, LOSS: 0.0, WEIGHT: 1e-6, BIAS: 0.0, other: 2e-6},
        {OUTPUT: 2e-7, LOSS: 0.0, WEIGHT: 5e-7, BIAS: 0.0, other: 3e-6},
    ]
    errors = largest_eager_errors(runs)
    assert errors[OUTPUT] == 2e-7
    assert errors[LOSS] == 1e-7  # the median of the output and the loss
    assert (errors[WEIGHT], errors[BIAS], errors[other]) == (1e-6, 1e-6, 3e-6)


def test_what_is_allowed_is_a_multiple_of_it_and_a_floor() -> None:
    eager_errors: Errors = {WEIGHT: 1e-4}
    allowed = MULTIPLE * 1e-4 + FLOORS["fp32"]
    above = deviations({WEIGHT: allowed * 1.01}, eager_errors, "fp32")
    assert out_of_tolerance(above) == above
    assert not out_of_tolerance(deviations({WEIGHT: allowed * 0.99}, eager_errors, "fp32"))


@pytest.mark.parametrize(("device_error", "within"), [(5e-5, True), (1e-3, False)])
def test_a_device_s_own_error_counts_if_it_is_below_that_of_tf32(
    device_error: float, within: bool
) -> None:
    errors: Errors = {WEIGHT: device_error}
    on_cpu: Errors = {WEIGHT: 2e-7}
    assert out_of_tolerance(deviations(errors, on_cpu, "fp32"))
    tensors = deviations(errors, on_cpu, "fp32", device_errors=errors)
    assert tensors[0].allowed == MAX_DEVICE_TOLERANCE
    assert out_of_tolerance(tensors) == ([] if within else tensors)


def test_a_device_s_error_never_lowers_what_is_allowed_and_raises_it_to_a_limit() -> None:
    def allowed(cpu: float, device: float) -> float:
        return allowed_error(cpu, "fp32", device)

    assert allowed(1e-7, 1e-8) == allowed_error(1e-7, "fp32")
    assert allowed(1e-7, 5e-6) == MULTIPLE * 5e-6 + FLOORS["fp32"]
    assert allowed(1e-7, math.inf) == MAX_DEVICE_TOLERANCE
    assert allowed(1e-3, 1.0) == allowed_error(1e-3, "fp32")
    assert allowed_error(1e-7, "fp32") == MULTIPLE * 1e-7 + FLOORS["fp32"]


def test_nothing_infinite_passes_whatever_eager_does() -> None:
    assert out_of_tolerance(deviations({WEIGHT: math.inf}, {WEIGHT: math.inf}, "fp32"))
    assert out_of_tolerance(deviations({WEIGHT: math.inf}, {WEIGHT: 0.1}, "fp32"))


def test_an_error_counts_if_it_is_in_all_runs() -> None:
    runs: list[Errors] = [{WEIGHT: 1.0, BIAS: 1.0}, {WEIGHT: 0.0, BIAS: 2.0}, {WEIGHT: 3.0}]
    assert smallest_errors(runs) == {WEIGHT: 0.0, BIAS: 1.0}


def test_after_the_last_judged_step_only_infinite_errors_count() -> None:
    later, last = (
        TensorPlace(2, TensorKind.GRADIENT, "weight"),
        TensorPlace(3, TensorKind.GRADIENT, "weight"),
    )
    eager_errors: Errors = {WEIGHT: 1e-6, later: 0.5, last: 1e-6}
    assert last_judged_step(eager_errors, "fp32") == 1
    assert last_judged_step({WEIGHT: 1e-6, later: 1e-6}, "fp32") == 2
    assert last_judged_step({WEIGHT: 0.5}, "fp32") == 0
    assert last_judged_step({WEIGHT: math.inf}, "fp32") == 0
    tensors = deviations({WEIGHT: 1e-6, later: 1.0, last: math.inf}, eager_errors, "fp32")
    assert [tensor.place for tensor in tensors] == [WEIGHT, last]
    assert [tensor.place for tensor in out_of_tolerance(tensors)] == [last]


def test_the_worst_of_each_kind_is_that_closest_to_its_allowance() -> None:
    errors: Errors = {OUTPUT: 1e-7, WEIGHT: 1e-6, BIAS: 1e-3}
    worst = dict(worst_by_kind(deviations(errors, dict.fromkeys(errors, 1e-7), "fp32")))
    assert worst[TensorKind.GRADIENT].place == BIAS
    assert worst[TensorKind.OUTPUT].place == OUTPUT


def test_complex_and_sparse_tensors_are_compared_too() -> None:
    complex_: Tensor = torch.tensor([1 + 1j])
    assert relative_error(complex_, complex_, 0.0) == 0.0
    dense = torch.eye(2)
    assert relative_error(dense.to_sparse(), dense, 0.0) == 0.0
