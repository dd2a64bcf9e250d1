from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbench.regression.discarding import MAX_OTHERS_DIFFERENCE, interference_differs
from stepbench_reports.schema.check import SideName, TurnSeries
from support import synthetic_check as made

ROUND: tuple[SideName, ...] = ("base", "head", "head", "base")


def turns(rounds: int = 4, elapsed_s: Sequence[float] = (), **changes: Any) -> TurnSeries:
    count = 4 * rounds
    given_fields: dict[str, Any] = {**made.quiet(count), **changes}
    return TurnSeries(
        side=ROUND * rounds,
        steps=(1,) * count,
        elapsed_s=tuple(elapsed_s) or (0.03,) * count,
        **given_fields,
    )


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_steady_neighbour_meets_both_sides(others: float, steal: float) -> None:
    assert not interference_differs(turns(others=(others,) * 16, steal=(steal,) * 16))


@pytest.mark.parametrize("what", ["others", "steal"])
@pytest.mark.parametrize("side", ["base", "head"])
def test_a_neighbour_of_one_side_is_interference(what: str, side: SideName) -> None:
    for share, expected in ((0.5, True), (0.9 * MAX_OTHERS_DIFFERENCE, False)):
        values = tuple(share if taker == side else 0.0 for taker in ROUND * 4)
        assert interference_differs(turns(4, (), **{what: values})) is expected


def test_a_burst_of_one_turn_in_many_is_none() -> None:
    assert not interference_differs(turns(8, others=(1.0, *(0.0,) * 31)))


def test_what_the_system_does_not_tell_is_no_interference() -> None:
    assert not interference_differs(turns(others=(None,) * 16, steal=(None,) * 16))


def test_how_long_turns_take_and_wait_changes_nothing() -> None:
    slow = tuple(0.3 if taker == "head" else 0.03 for taker in ROUND * 4)
    assert not interference_differs(turns(elapsed_s=slow, run_delay_s=slow))


def test_a_device_that_is_throttled_on_both_sides_is_none() -> None:
    assert not interference_differs(turns(throttled=("heat",) * 16))
    one = tuple("heat" if taker == "head" else None for taker in ROUND * 4)
    assert interference_differs(turns(throttled=one))
