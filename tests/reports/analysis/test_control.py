import math

import numpy as np
import pytest
import scipy.stats

from stepbench_reports.analysis.control import MAX_EFFECT, PhaseMean, compare

STEP_S = 0.010


def phases(means_s: list[float]) -> dict[int, PhaseMean]:
    """A phase's mean time in each generation, in steps of 10 ms."""
    return {number: PhaseMean(mean_s, STEP_S) for number, mean_s in enumerate(means_s)}


CASE_S, BASE_S = [0.001, 0.0011, 0.0009, 0.001], [0.0020, 0.0022, 0.0019, 0.0020]


@pytest.mark.parametrize("controls", [1, 4])
def test_the_intervals_of_a_control(controls: int) -> None:
    found = compare(phases(CASE_S), phases(BASE_S), controls)
    assert found is not None
    logs = np.log(BASE_S) - np.log(CASE_S)
    half = float(scipy.stats.t.ppf(0.975, 3) * scipy.stats.sem(logs))
    assert found.ratio.value == pytest.approx(math.exp(logs.mean()))
    assert found.ratio.low == pytest.approx(math.exp(logs.mean() - half))
    # As a share of the step; all controls of the run together hold with 99 %.
    effects = (np.array(BASE_S) - CASE_S) / STEP_S
    half = float(scipy.stats.t.ppf(1 - 0.005 / controls, 3) * scipy.stats.sem(effects))
    assert found.effect.value == pytest.approx(effects.mean())
    assert found.effect.low == pytest.approx(effects.mean() - half)
    assert found.effect.high == pytest.approx(effects.mean() + half)


@pytest.mark.parametrize(
    ("shift_s", "doubtful"),
    [
        (0.0005, True),
        (-0.0005, True),
        # Certain, and less than 3 % of the step.
        (0.0002, False),
        (-0.0002, False),
        (0.0, False),
    ],
)
def test_a_difference_of_more_than_three_percent_of_the_step_is_doubtful(
    shift_s: float, doubtful: bool
) -> None:
    found = compare(phases([s - shift_s for s in BASE_S]), phases(BASE_S), 1)
    assert found is not None
    assert abs(found.effect.value) == pytest.approx(abs(shift_s) / STEP_S)
    assert found.doubtful is doubtful


def test_a_difference_that_may_be_chance_is_not_doubtful() -> None:
    found = compare(phases([0.001, 0.003, 0.001, 0.002]), phases([0.004] * 4), 1)
    assert found is not None
    assert found.effect.value > 5 * MAX_EFFECT
    assert not found.doubtful


def test_a_single_generation_in_common_is_no_control() -> None:
    assert compare(phases([0.001] * 4), {0: PhaseMean(0.001, STEP_S)}, 1) is None


def test_a_phase_that_takes_no_time_has_an_effect_and_no_ratio() -> None:
    found = compare(phases([0.0, 0.0, 0.0]), phases([0.001] * 3), 1)
    assert found is not None
    assert math.isnan(found.ratio.value)
    assert found.effect.value == pytest.approx(0.1)


def test_identical_cases_are_seldom_doubtful() -> None:
    """At most 1 run in 50, with four controls and noise so large that chance alone decides."""
    generator = np.random.default_rng(0)
    runs = 1000
    doubtful = 0
    for _ in range(runs):
        means_s = generator.normal(0.004, 0.002, (4, 2, 6)).tolist()
        controls = [compare(phases(a_s), phases(b_s), 4) for a_s, b_s in means_s]
        doubtful += any(control is not None and control.doubtful for control in controls)
    assert doubtful <= runs / 50
