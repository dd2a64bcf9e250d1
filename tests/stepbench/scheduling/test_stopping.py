import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbench.scheduling.stopping import generations_needed

LOGS = st.lists(st.floats(-1, 1), min_size=2, max_size=8)
ERRORS = st.floats(0.001, 0.5)


def test_stein_s_number_by_hand() -> None:
    # The variance of 0, 0.02, 0.04 is 0.0004; t(0.975) with 2 degrees of freedom is 4.302653.
    expected = math.ceil(4.302653**2 * 0.0004 / math.log(1.02) ** 2)
    assert expected == 19
    assert generations_needed([[0.0, 0.02, 0.04]], 0.02) == expected


def test_the_least_precise_comparison_decides() -> None:
    noisy, quiet = [0.0, 0.02, 0.04], [0.0, 0.001, 0.002]
    assert generations_needed([quiet, noisy], 0.02) == generations_needed([noisy], 0.02)


def test_without_a_spread_no_more_are_needed() -> None:
    assert generations_needed([[0.25, 0.25, 0.25]], 0.02) == 0


@pytest.mark.parametrize("first_stage", [[], [[]], [[0.3]]])
def test_a_single_generation_does_not_tell(first_stage: list[list[float]]) -> None:
    assert generations_needed(first_stage, 0.02) is None


def needed(first_stage: list[list[float]], error: float) -> int:
    number = generations_needed(first_stage, error)
    assert number is not None
    return number


@given(LOGS, ERRORS, st.floats(1.0, 5.0))
def test_a_wider_goal_needs_no_more(logs: list[float], error: float, factor: float) -> None:
    assert needed([logs], error * factor) <= needed([logs], error)


@given(LOGS, ERRORS, st.floats(1.0, 5.0))
def test_a_wider_spread_needs_no_fewer(logs: list[float], error: float, factor: float) -> None:
    wider = [value * factor for value in logs]
    # Rounding may change the product's last digit, and so the number by one.
    assert needed([wider], error) >= needed([logs], error) - 1


@given(st.lists(LOGS, min_size=1, max_size=4), LOGS, ERRORS)
def test_another_comparison_needs_no_fewer(
    first_stage: list[list[float]], logs: list[float], error: float
) -> None:
    more = needed([*first_stage, logs], error)
    assert more >= needed(first_stage, error)
