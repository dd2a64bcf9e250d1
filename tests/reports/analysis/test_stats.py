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
    median_interval,
    ratio_interval,
)

positive = st.floats(min_value=1e-9, max_value=1e9)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(6, 1, 6), (8, 1, 8), (9, 2, 8), (20, 6, 15), (30, 10, 21), (100, 40, 61)],
)
def test_the_interval_has_the_ranks_of_the_printed_tables(count: int, low: int, high: int) -> None:
    interval = median_interval(range(1, count + 1))
    assert (interval.value, interval.low, interval.high) == ((count + 1) / 2, low, high)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_too_few_samples_have_a_median_and_no_interval(count: int) -> None:
    interval = median_interval([2.0] * count)
    assert interval.value == 2.0
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert math.isnan(interval.relative_half_width)


@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [1.0, math.inf], [-math.inf, 1.0]])
def test_what_is_no_sample_is_refused(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        median_interval(samples)


@given(st.integers(1, 6000), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_ranks_are_the_best_that_keep_the_confidence(count: int, confidence: float) -> None:
    interval = median_interval(np.arange(count), confidence)
    miss = (1 - confidence) / 2
    if math.isnan(interval.low):
        assert 0.5**count > miss
        return
    rank = int(interval.low)
    assert interval.high == count - 1 - rank
    assert scipy.stats.binom.cdf(rank, count, 0.5) <= miss * (1 + 1e-9)
    if rank + 1 < count // 2:
        assert scipy.stats.binom.cdf(rank + 1, count, 0.5) > miss * (1 - 1e-9)


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=60), st.randoms())
def test_order_does_not_matter_and_the_median_is_numpys(
    samples: list[float], random: object
) -> None:
    interval = median_interval(samples)
    random.shuffle(samples)  # type: ignore[attr-defined]  # a random.Random
    again = median_interval(samples)
    assert interval.value == pytest.approx(np.median(samples))
    assert again.value == interval.value
    if not math.isnan(interval.low):
        assert interval.low <= interval.value <= interval.high


@pytest.mark.parametrize("count", [6, 13, 50, 201])
def test_the_interval_covers_the_true_median_as_often_as_it_says(count: int) -> None:
    generator = np.random.default_rng(count)
    trials = 3000
    covered = 0
    for _ in range(trials):
        interval = median_interval(generator.lognormal(0, 0.7, count))  # its median is 1
        covered += interval.low <= 1 <= interval.high
    # Three standard errors of a share of 95 % in so many trials.
    assert covered / trials > 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)


def test_relative_half_width_is_a_share_of_the_estimate() -> None:
    assert Interval(10, 9, 12).half_width == 1.5
    assert Interval(10, 9, 12).relative_half_width == 0.15
    assert math.isnan(Interval(0, 0, 0).relative_half_width)


def test_a_ratio_by_hand() -> None:
    # Both 10 % up and down on the logarithm, so the ratio is sqrt(2) of that.
    up = math.exp(0.1)
    ratio = ratio_interval(Interval(10, 10 / up, 10 * up), Interval(8, 8 / up, 8 * up))
    assert ratio.value == pytest.approx(1.25)
    assert ratio.low == pytest.approx(1.25 * math.exp(-0.1 * math.sqrt(2)))
    assert ratio.high == pytest.approx(1.25 * math.exp(0.1 * math.sqrt(2)))


def test_a_ratio_takes_each_end_from_the_ends_that_lead_there() -> None:
    # Only the numerator may be lower, and only the denominator lower: asymmetric ends.
    ratio = ratio_interval(Interval(10, 5, 10), Interval(8, 4, 8))
    assert ratio.low == pytest.approx(0.625)
    assert ratio.high == pytest.approx(2.5)


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    value, below, above = draw(positive), draw(st.floats(1, 3)), draw(st.floats(1, 3))
    return Interval(value, value / below, value * above)


@given(intervals(), intervals())
def test_the_inverse_ratio_has_the_inverse_interval(
    numerator: Interval, denominator: Interval
) -> None:
    ratio = ratio_interval(numerator, denominator)
    inverse = ratio_interval(denominator, numerator)
    assert ratio.low <= ratio.value * (1 + 1e-12)
    assert ratio.value <= ratio.high * (1 + 1e-12)
    assert inverse.low == pytest.approx(1 / ratio.high)
    assert inverse.high == pytest.approx(1 / ratio.low)


@pytest.mark.parametrize(
    ("numerator", "denominator", "value"),
    [
        (Interval(2, math.nan, math.nan), Interval(1, 0.9, 1.1), 2),
        (Interval(2, 1.9, 2.1), Interval(1, math.nan, math.nan), 2),
        (Interval(2, 0, 2.1), Interval(1, 0.9, 1.1), 2),
        (Interval(2, 1.9, 2.1), Interval(0, 0, 0), math.nan),
        (Interval(math.nan, math.nan, math.nan), Interval(1, 0.9, 1.1), math.nan),
    ],
)
def test_what_is_not_known_gives_no_interval(
    numerator: Interval, denominator: Interval, value: float
) -> None:
    ratio = ratio_interval(numerator, denominator)
    assert ratio.value == pytest.approx(value, nan_ok=True)
    assert math.isnan(ratio.low)
    assert math.isnan(ratio.high)


def test_a_ratio_of_medians_is_covered_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    trials, covered = 2000, 0
    for _ in range(trials):
        a = median_interval(3 * generator.lognormal(0, 0.3, 60))
        b = median_interval(2 * generator.lognormal(0, 0.1, 40))
        ratio = ratio_interval(a, b)
        covered += ratio.low <= 1.5 <= ratio.high
    assert covered / trials > 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)


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
