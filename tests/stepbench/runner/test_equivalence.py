import math

import numpy as np
import pytest
from msgspec import structs

from stepbench.runner.equivalence import compare, decide, difference_sentence, seed_counts
from stepbench_reports.schema.parity import TrainingFacts, TrainingVerdict, TrainParityOptions

OPTIONS = TrainParityOptions(margin=0.01)


def test_the_difference_is_tested_after_three_six_and_twelve_seeds() -> None:
    assert seed_counts(OPTIONS) == (3, 6, 12)
    assert seed_counts(TrainParityOptions(min_seeds=4, max_seeds=5)) == (4,)


def test_alike_within_the_margin_is_equivalent() -> None:
    comparison = compare([0.950, 0.951, 0.949], [0.950, 0.950, 0.950], OPTIONS)
    assert comparison.verdict is TrainingVerdict.EQUIVALENT


def test_apart_by_more_than_the_margin_is_different() -> None:
    comparison = compare([0.90, 0.901, 0.899], [0.95, 0.95, 0.95], OPTIONS)
    assert comparison.verdict is TrainingVerdict.DIFFERENT
    assert compare([0.95] * 3, [0.90, 0.901, 0.899], OPTIONS).verdict is TrainingVerdict.DIFFERENT


def test_too_wide_an_interval_is_inconclusive() -> None:
    comparison = compare([0.90, 0.97, 0.95], [0.95, 0.93, 0.96], OPTIONS)
    assert comparison.verdict is TrainingVerdict.INCONCLUSIVE


def test_a_training_that_diverges_is_different_unless_eager_fp32_diverges_too() -> None:
    nan = math.nan
    assert compare([0.9, nan, 0.9], [0.9] * 3, OPTIONS).verdict is TrainingVerdict.DIFFERENT
    assert (
        compare([0.9, nan, 0.9], [0.9, nan, 0.9], OPTIONS).verdict is TrainingVerdict.INCONCLUSIVE
    )


def test_seeds_are_added_until_it_is_decided() -> None:
    noise = [0.006, -0.006, 0.005, -0.005, 0.004, -0.004, *[0.0] * 6]
    case, eager_fp32, comparison = decide(lambda number: (0.9 + noise[number], 0.9), OPTIONS)
    assert comparison is not None
    assert comparison.verdict is TrainingVerdict.EQUIVALENT
    assert len(case) == len(eager_fp32) in {6, 12}


def test_a_spent_budget_gives_no_comparison() -> None:
    case, _, comparison = decide(lambda number: (0.9, 0.9) if number < 2 else None, OPTIONS)
    assert len(case) == 2
    assert comparison is None


@pytest.mark.parametrize("difference", [0.01, -0.01])
def test_what_lies_on_the_margin_is_seldom_called_equivalent(difference: float) -> None:
    """The chance of error is at most 5 %, over all tests together."""
    generator = np.random.default_rng(1)
    trials = 1000
    wrong = 0
    for _ in range(trials):
        noise = generator.normal(difference, 0.005, 12)
        _, _, comparison = decide(lambda number, noise=noise: (noise[number], 0.0), OPTIONS)  # type: ignore[misc]
        wrong += comparison is not None and comparison.verdict is TrainingVerdict.EQUIVALENT
    assert wrong / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_the_difference_is_in_percentage_points() -> None:
    facts = TrainingFacts(
        verdict=TrainingVerdict.DIFFERENT,
        eager_fp32="net-cpu-b4-w0-off-fp32",
        options=OPTIONS,
        difference=-0.05,
        low=-0.06,
        high=-0.04,
        accuracies=(0.9, 0.9, 0.9),
        eager_fp32_accuracies=(0.95, 0.95, 0.95),
    )
    assert "-5.00 percentage points (-6.00 to -4.00, " in difference_sentence(facts)
    not_finite = structs.replace(facts, accuracies=(None,), low=None, high=None)
    assert "not finite" in difference_sentence(not_finite)
    few = structs.replace(facts, low=None, high=None)
    assert "too few trainings" in difference_sentence(few)
