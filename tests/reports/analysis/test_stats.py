import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from stepbench_reports.analysis.stats import (
    Interval,
    exponential,
    geometric_mean,
    mean_interval,
    relative_spread,
)

positive = st.floats(min_value=1e-9, max_value=1e9)


def test_relative_half_width_is_a_share_of_the_estimate() -> None:
    assert Interval(10, 9, 12).half_width == 1.5
    assert Interval(10, 9, 12).relative_half_width == 0.15
    assert math.isnan(Interval(0, 0, 0).relative_half_width)


def test_a_mean_has_student_s_interval() -> None:
    samples = [0.9, 1.0, 1.1, 1.4]
    interval = mean_interval(samples, 0.9)
    low, high = scipy.stats.t.interval(0.9, 3, np.mean(samples), scipy.stats.sem(samples))
    assert (interval.value, interval.low, interval.high) == pytest.approx((1.1, low, high))


def test_one_sample_has_a_mean_and_no_interval() -> None:
    interval = mean_interval([0.25])
    assert interval.value == 0.25
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [math.inf]])
def test_a_mean_of_what_is_no_sample_is_refused(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        mean_interval(samples)


@pytest.mark.parametrize("count", [2, 6, 12])
def test_a_mean_is_covered_as_often_as_it_says(count: int) -> None:
    generator = np.random.default_rng(count)
    trials = 3000
    intervals = [mean_interval(generator.normal(1, 0.1, count)) for _ in range(trials)]
    covered = np.mean([interval.low <= 1 <= interval.high for interval in intervals])
    assert abs(covered - 0.95) < 3.5 * math.sqrt(0.95 * 0.05 / trials)


def test_an_interval_of_a_logarithm_is_one_of_the_quantity() -> None:
    interval = exponential(Interval(math.log(3), math.log(2), math.log(5)))
    assert (interval.value, interval.low, interval.high) == pytest.approx((3, 2, 5))
    wide = exponential(Interval(0.0, -1e4, 1e4))  # beyond any float
    assert (wide.value, wide.low, wide.high) == (1, math.exp(-300), math.exp(300))
    alone = exponential(Interval(0.0, math.nan, math.nan))
    assert alone.value == 1
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=20))
def test_the_geometric_mean_of_ratios_and_their_inverses_is_one(ratios: list[float]) -> None:
    assert geometric_mean(ratios + [1 / ratio for ratio in ratios]) == pytest.approx(1)


def test_geometric_mean_by_hand() -> None:
    assert geometric_mean([1, 4]) == pytest.approx(2)
    for bad in ([], [0.0, 1.0], [-1.0], [math.nan]):
        with pytest.raises(ValueError, match="positive"):
            geometric_mean(bad)


def test_importing_the_statistics_is_light() -> None:
    heavy = '"pandas", "rich", "jinja2", "scipy.stats", "torch"'
    module = "stepbench_reports.analysis.stats"
    check = f"import sys, {module}; print([m for m in ({heavy}) if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_spread_of_four_in_five_samples() -> None:
    samples = [1.0] * 2 + [1.1] * 7 + [1.21, 99.0]
    assert relative_spread(samples) == pytest.approx(0.1)
    assert relative_spread([3.0] * 10) == 0
    assert math.isnan(relative_spread([1.0] * 9))


@given(st.lists(st.floats(1e-4, 1e2), min_size=10, max_size=40), st.floats(1e-3, 1e3))
def test_a_spread_does_not_depend_on_the_unit(samples: list[float], scale: float) -> None:
    spread = relative_spread(samples)
    assert spread >= 0
    assert relative_spread([scale * sample for sample in samples]) == pytest.approx(
        spread, rel=1e-6, abs=1e-9
    )
