import math
from typing import Any

import numpy as np
import pytest
import scipy.stats

from stepbench_reports.read.turns import Turns
from stepbench_reports.schema.measurement import TurnFacts


def turn(kind: Any, generation: int, steps: int, **fields: Any) -> TurnFacts:
    given = {"round": 0, "elapsed_s": 0.01 * steps, **fields}
    return TurnFacts(kind=kind, generation=generation, steps=steps, **given)


LAPPED = (
    turn("lapped", 0, 2),
    turn("bare", 0, 4),
    turn("lapped", 1, 3),
    turn("unloaded", 1, 5),
    turn("lapped", 0, 1, round=1),
)
"""Two generations: laps 1, 2 and 6 are of the first one, and laps 3 to 5 of the second."""
LAPS = np.array([1.0, 2.0, 10.0, 8.0, 9.0, 4.0])


def test_a_median_is_that_of_the_generations_medians() -> None:
    median = Turns(LAPPED, workers=False).median(LAPS)
    # Medians of 2 and 9; Student's t of 1 degree of freedom.
    logs = np.log([2.0, 9.0])
    half = scipy.stats.t.ppf(0.975, 1) * scipy.stats.sem(logs)
    assert median.value == pytest.approx(math.sqrt(2 * 9))
    assert (median.low, median.high) == pytest.approx(
        (math.exp(logs.mean() - half), math.exp(logs.mean() + half))
    )


def test_groups_have_generations_of_their_own() -> None:
    turns = Turns((turn("lapped", 0, 3), turn("lapped", 0, 3, group=1)), workers=False)
    assert turns.median(LAPS).value == pytest.approx(math.sqrt(2 * 8))


def test_a_turn_that_is_left_out_has_no_laps() -> None:
    left_out = turn("lapped", 2, 7, counts=False)
    assert Turns((*LAPPED, left_out), workers=False).median(LAPS).value == pytest.approx(
        math.sqrt(2 * 9)
    )


@pytest.mark.parametrize(
    "taken",
    [
        (),
        (*LAPPED, turn("lapped", 2, 1)),  # one step more than there are laps
        (turn("lapped", 0, 6),),
        tuple(turn("lapped", n, 3, counts=False) for n in range(2)),
        tuple(turn("bare", n, 3) for n in range(2)),
    ],
)
def test_laps_that_do_not_match_or_are_of_one_generation_have_no_interval(
    taken: tuple[TurnFacts, ...],
) -> None:
    median = Turns(taken, workers=False).median(LAPS)
    assert median.value == 6.0
    assert math.isnan(median.low)


def test_a_phase_that_takes_no_time_in_a_generation_has_no_interval() -> None:
    median = Turns(LAPPED, workers=False).median(np.array([0.0, 0.0, 5.0, 5.0, 5.0, 1.0]))
    assert median.value == 3.0
    assert math.isnan(median.low)


def test_no_laps_have_no_median() -> None:
    assert math.isnan(Turns(LAPPED, workers=False).median(np.array([])).value)


def test_steps_are_of_one_kind_by_group_and_generation() -> None:
    taken = (
        turn("bare", 0, 10, elapsed_s=0.10),
        turn("bare", 0, 30, elapsed_s=0.90),
        turn("bare", 1, 10, elapsed_s=0.40, counts=False),
        turn("bare", 1, 10, elapsed_s=0.20, counts=False),
        turn("bare", 1, 10, elapsed_s=0.0),  # the clock did not move on
        turn("bare", 0, 10, elapsed_s=0.5, group=1),
        turn("lapped", 2, 10),
    )
    steps = Turns(taken, workers=False).steps("bare")
    assert {key: of_key.all_s for key, of_key in steps.items()} == pytest.approx(
        {(0, 0): 0.025, (0, 1): 0.03, (1, 0): 0.05}
    )
    assert math.isnan(steps[0, 1].kept_s)
    assert steps[0, 1].fastest_s == pytest.approx(0.02)
    assert math.isnan(Turns(taken, workers=True).steps("bare")[0, 1].fastest_s)
    assert list(Turns(taken, workers=False).steps("lapped")) == [(0, 2)]
    assert not Turns(taken, workers=False).steps("tiny")


def test_forward_and_backward_of_one_kind_of_turns() -> None:
    phases = {"forward": 0.2, "backward": 0.3, "optimizer": 9.0}
    taken = (
        turn("lapped", 0, 10, phases_s=phases),
        turn("lapped", 1, 10, phases_s={"forward": 0.5}),
        turn("lapped", 1, 10, phases_s={"forward": 7.0}, counts=False),
        turn("unloaded", 0, 5, phases_s=phases, counts=False),
        turn("bare", 0, 10),
    )
    turns = Turns(taken, workers=True)
    assert turns.passes_s("lapped") == pytest.approx(1.0 / 20)
    assert turns.passes_s("unloaded") == pytest.approx(0.5 / 5)  # of none that counts, all
    assert math.isnan(turns.passes_s("bare"))
    assert math.isnan(turns.passes_s("tiny"))


@pytest.mark.parametrize("fields", [{"compiled": True}, {"suspended": "process stopped"}])
def test_turns_that_were_compiling_or_suspended_are_in_no_sum(fields: dict[str, Any]) -> None:
    without_work = turn("bare", 0, 10, elapsed_s=9.0, counts=False, **fields)
    taken = (without_work, turn("bare", 0, 10, elapsed_s=0.1))
    assert Turns(taken, workers=False).steps("bare")[0, 0].all_s == pytest.approx(0.01)


def test_a_phase_s_mean_in_each_generation() -> None:
    turns = (
        turn("lapped", 0, 2, phases_s={"dataload": 0.004}),
        turn("lapped", 0, 3, phases_s={"dataload": 0.003}, round=1),
        turn("lapped", 0, 4, phases_s={"dataload": 0.9}, counts=False),
        turn("bare", 0, 5),
        turn("unloaded", 0, 5, phases_s={"dataload": 0.9}),
        turn("lapped", 1, 1, phases_s={"forward": 0.005}),
        turn("lapped", 2, 1, phases_s={"dataload": 0.005}, group=1),
    )
    means = Turns(turns, workers=False).phase_means("dataload")
    assert {key: (mean.phase_s, mean.step_s) for key, mean in means.items()} == {
        (0, 0): pytest.approx((0.0014, 0.01)),
        (1, 2): pytest.approx((0.005, 0.01)),
    }


def test_the_cost_of_laps_is_that_of_rounds_in_which_both_turns_count() -> None:
    taken = (
        turn("lapped", 0, 2, elapsed_s=0.022),
        turn("bare", 0, 4, elapsed_s=0.040),
        turn("lapped", 0, 2, round=1, elapsed_s=0.080, counts=False),
        turn("bare", 0, 4, round=1, elapsed_s=0.040),
        # A round of this generation has no bare turn that counts, so that all rounds do.
        turn("lapped", 1, 1, elapsed_s=0.030),
        turn("bare", 1, 1, elapsed_s=0.020, counts=False),
        turn("lapped", 1, 1, round=1, elapsed_s=0.020),
        # This one was alone in its round.
        turn("lapped", 2, 1, elapsed_s=0.020),
    )
    assert Turns(taken, workers=False).lap_costs() == pytest.approx([1.1, 1.5])
