import pytest

from stepbench.config.case import Case
from stepbench.runner.training_time import TrainingTime, sentence, training_time
from stepbench_reports.schema.parity import TrainParityOptions

EAGER = Case(workload="net", batch_size=8).numerics_key
COMPILED, BF16 = EAGER.changed(compile="default"), EAGER.changed(precision="bf16")
OPTIONS = TrainParityOptions(steps=100, budget_s=600.0, min_seeds=3, max_seeds=12)


def test_the_eager_case_is_trained_once_for_all() -> None:
    steps_s = {EAGER: 0.02, COMPILED: 0.01, BF16: 0.03}
    time = training_time([COMPILED, BF16], steps_s, OPTIONS)
    assert time.cases == 2
    assert (time.low_s, time.high_s) == pytest.approx((300 * 0.06, 1200 * 0.06))


def test_no_case_takes_more_than_its_budget() -> None:
    time = training_time([COMPILED, BF16], {COMPILED: 10.0, BF16: 0.01}, OPTIONS)
    assert (time.low_s, time.high_s) == pytest.approx((603.0, 612.0))


def test_a_case_that_was_not_measured_may_take_its_budget() -> None:
    assert training_time([COMPILED], {EAGER: 1.0}, OPTIONS) == TrainingTime(1, 0.0, 600.0)


def test_the_sentence_says_for_how_long_and_what_to_change() -> None:
    assert sentence(TrainingTime(2, 80.0, 300.0), OPTIONS) == (
        "training parity: 3 to 12 trainings of 100 steps for 2 cases and as many in eager fp32: "
        "about 80 s to 5 min, without starts and tests (--train-steps, --train-budget)"
    )
    assert "fp32: up to 10 min, without" in sentence(TrainingTime(1, 0.0, 600.0), OPTIONS)
