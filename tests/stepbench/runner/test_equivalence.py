import math

import numpy as np
import pytest
from msgspec import structs

from stepbench.runner.equivalence import compare, decide, difference_sentence, seed_counts
from stepbench_reports.schema.parity import TrainingFacts, TrainingVerdict, TrainParityOptions

ASKED = TrainParityOptions(margin=0.01)


def test_the_difference_is_tested_after_three_six_and_twelve_seeds() -> None:
    assert seed_counts(ASKED) == (3, 6, 12)
    assert seed_counts(TrainParityOptions(least_seeds=4, most_seeds=5)) == (4,)


def test_alike_within_the_margin_is_equivalent() -> None:
    found = compare([0.950, 0.951, 0.949], [0.950, 0.950, 0.950], ASKED)
    assert found.verdict is TrainingVerdict.EQUIVALENT


def test_apart_by_more_than_the_margin_is_different() -> None:
    found = compare([0.90, 0.901, 0.899], [0.95, 0.95, 0.95], ASKED)
    assert found.verdict is TrainingVerdict.DIFFERENT
    assert compare([0.95] * 3, [0.90, 0.901, 0.899], ASKED).verdict is TrainingVerdict.DIFFERENT


def test_too_wide_an_interval_is_inconclusive() -> None:
    found = compare([0.90, 0.97, 0.95], [0.95, 0.93, 0.96], ASKED)
    assert found.verdict is TrainingVerdict.INCONCLUSIVE


def test_a_training_that_comes_to_nothing_is_different_unless_its_twin_does_too() -> None:
    nan = math.nan
    assert compare([0.9, nan, 0.9], [0.9] * 3, ASKED).verdict is TrainingVerdict.DIFFERENT
    assert compare([0.9, nan, 0.9], [0.9, nan, 0.9], ASKED).verdict is TrainingVerdict.INCONCLUSIVE


def test_seeds_are_added_until_it_is_decided() -> None:
    noise = [0.006, -0.006, 0.005, -0.005, 0.004, -0.004, *[0.0] * 6]
    mine, twins, found = decide(lambda number: (0.9 + noise[number], 0.9), ASKED)
    assert found is not None
    assert found.verdict is TrainingVerdict.EQUIVALENT
    assert len(mine) == len(twins) in {6, 12}


def test_a_spent_budget_leaves_it_open() -> None:
    mine, _, found = decide(lambda number: (0.9, 0.9) if number < 2 else None, ASKED)
    assert len(mine) == 2
    assert found is None


@pytest.mark.parametrize("difference", [0.01, -0.01])
def test_what_lies_on_the_margin_is_seldom_called_equivalent(difference: float) -> None:
    """The chance of error is at most 5 %, over all tests together."""
    generator = np.random.default_rng(1)
    trials = 1000
    wrong = 0
    for _ in range(trials):
        noise = generator.normal(difference, 0.005, 12)
        _, _, found = decide(lambda number, noise=noise: (noise[number], 0.0), ASKED)  # type: ignore[misc]
        wrong += found is not None and found.verdict is TrainingVerdict.EQUIVALENT
    assert wrong / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_the_difference_is_told_in_points() -> None:
    facts = TrainingFacts(
        verdict=TrainingVerdict.DIFFERENT,
        twin="net-cpu-b4-w0-off-fp32",
        asked=ASKED,
        difference=-0.05,
        low=-0.06,
        high=-0.04,
        accuracies=(0.9, 0.9, 0.9),
        twin_accuracies=(0.95, 0.95, 0.95),
    )
    assert "-5.00 percentage points (-6.00 to -4.00)" in difference_sentence(facts)
    lost = structs.replace(facts, accuracies=(None,), low=None, high=None)
    assert "not finite" in difference_sentence(lost)
    few = structs.replace(facts, low=None, high=None)
    assert "too few trainings" in difference_sentence(few)
