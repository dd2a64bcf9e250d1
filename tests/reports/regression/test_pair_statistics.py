import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stepbench_reports.regression.pair_statistics import (
    ALPHA,
    MARGIN,
    MAX_PAIRS,
    MIN_PAIRS,
    Screened,
    centre,
    detectable,
    holm,
    p_faster,
    p_slower,
    pairs_to_confirm,
    pairs_to_screen,
    screen,
    server_correlation,
    spread,
)

SMALLEST = 0.03
few = st.lists(
    st.floats(-0.2, 0.2, allow_nan=False).filter(bool), min_size=1, max_size=9, unique_by=abs
)


def normal(mean: float, deviation: float, count: int, seed: int = 0) -> list[float]:
    return [float(x) for x in np.random.default_rng(seed).normal(mean, deviation, count)]


def test_nothing_is_screened_from_fewer_pairs_than_an_interval_needs() -> None:
    assert screen([0.5] * (MIN_PAIRS - 1), SMALLEST) is Screened.UNDECIDED
    assert screen([0.5] * MIN_PAIRS, SMALLEST) is Screened.SLOWER
    assert screen([-0.5] * MIN_PAIRS, SMALLEST) is Screened.FASTER
    assert screen([0.0] * MIN_PAIRS, SMALLEST) is Screened.CLEAR


@given(few, st.lists(st.floats(-0.2, 0.2, allow_nan=False), max_size=20))
def test_the_first_decision_stands(begun: list[float], later: list[float]) -> None:
    first = screen(begun, SMALLEST)
    if first not in {Screened.UNDECIDED, Screened.TOO_NOISY}:
        assert screen([*begun, *later], SMALLEST) is first


@given(st.lists(st.floats(-0.2, 0.2, allow_nan=False), min_size=6, max_size=30))
def test_swapping_the_sides_swaps_slower_and_faster(changes: list[float]) -> None:
    swapped = {Screened.SLOWER: Screened.FASTER, Screened.FASTER: Screened.SLOWER}
    result, negated = screen(changes, SMALLEST), screen([-c for c in changes], SMALLEST)
    assert negated is swapped.get(result, result)


def test_the_screen_s_errors_are_about_what_they_should_be() -> None:
    identical = [screen(normal(0, 0.015, MAX_PAIRS, seed), SMALLEST) for seed in range(400)]
    slower = [screen(normal(SMALLEST, 0.015, MAX_PAIRS, seed), SMALLEST) for seed in range(400)]
    assert identical.count(Screened.CLEAR) >= 0.97 * 400
    assert slower.count(Screened.SLOWER) >= 0.97 * 400


def test_a_hopelessly_noisy_row_is_not_waited_for() -> None:
    changes = [0.2, -0.25, 0.22, -0.21, 0.24, -0.3, 0.21, -0.22]
    assert screen(changes, SMALLEST) is Screened.TOO_NOISY
    assert screen([0.3 + change / 3 for change in changes], SMALLEST) is Screened.SLOWER


def test_a_huge_change_is_flagged_whatever_its_spread() -> None:
    changes = [8.6, 7.0, 9.4, 6.1, 8.8, 9.9]
    assert screen(changes, SMALLEST) is Screened.SLOWER
    assert screen([-change for change in changes], SMALLEST) is Screened.FASTER


def test_a_row_with_a_lower_limit_of_pairs_is_too_noisy_sooner() -> None:
    changes = [0.04, -0.04] * 4
    assert screen(changes, SMALLEST, 12) is Screened.TOO_NOISY
    assert screen(changes, SMALLEST, 24) is Screened.UNDECIDED
    assert pairs_to_confirm(normal(0.03, 0.04, 8), SMALLEST, 1, 12) == 12
    assert pairs_to_confirm(normal(0.03, 0.04, 8), SMALLEST, 500, 12) > 12  # or it could not pass


def test_a_row_near_half_the_smallest_effect_is_decided_in_the_end() -> None:
    changes = normal(SMALLEST / 2, 0.01, MAX_PAIRS)
    assert screen(changes, SMALLEST) is not Screened.UNDECIDED


def test_a_few_pairs_that_agree_do_not_prove_precision() -> None:
    assert spread([0.01] * 6) > 0.008
    assert spread([]) == pytest.approx(0.015)
    many = normal(0, 0.05, 500)
    assert spread(many) == pytest.approx(0.05, rel=0.1)


def test_a_confirmation_can_pass_with_the_pairs_that_it_is_given() -> None:
    for rows in (1, 5, 48):
        count = pairs_to_confirm([0.03] * 6, SMALLEST, rows)
        changes = np.linspace(0.02, 0.04, count)
        assert p_slower(changes) * rows <= ALPHA


def test_a_large_slowdown_needs_no_more_pairs_than_the_test_does() -> None:
    large, small = normal(0.3, 0.03, 8), normal(0.03, 0.03, 8)
    assert pairs_to_confirm(large, SMALLEST, 1) < pairs_to_confirm(small, SMALLEST, 1)
    assert pairs_to_confirm(normal(0.03, 0.2, 8), SMALLEST, 1) == MAX_PAIRS


def test_a_confirmation_sees_the_smallest_effect_most_often() -> None:
    seen = 0
    for seed in range(200):
        screened = normal(SMALLEST, 0.012, 8, seed)
        count = pairs_to_confirm(screened, SMALLEST, 2)
        seen += p_slower(normal(SMALLEST, 0.012, count, 1000 + seed)) * 2 <= ALPHA
    assert seen >= 0.95 * 200


@given(few)
@settings(max_examples=40)
def test_the_p_value_is_the_share_of_sign_patterns_at_least_as_extreme(
    changes: list[float],
) -> None:
    values = np.array(changes) - MARGIN
    ranks = stats.rankdata(np.abs(values))
    if len(set(ranks)) < len(ranks) or (values == 0).any():
        return
    observed = ranks[values > 0].sum()
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    assert p_slower(changes) == pytest.approx(np.mean([total >= observed for total in sums]))


def test_faster_is_slower_with_the_sides_swapped() -> None:
    changes = normal(0.04, 0.01, 10)
    assert p_faster([-c for c in changes]) == p_slower(changes)
    assert p_slower([]) == 1.0


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1, allow_nan=False), max_size=8))
def test_holm_agrees_with_its_definition(p_values: dict[str, float]) -> None:
    adjusted = holm(p_values)
    assert adjusted.keys() == p_values.keys()
    ordered = sorted(p_values, key=lambda row: p_values[row])
    rejected = 0
    for rank, row in enumerate(ordered):
        if p_values[row] > ALPHA / (len(ordered) - rank):
            break
        rejected += 1
    assert sum(p <= ALPHA for p in adjusted.values()) == pytest.approx(rejected, abs=1e-9)


def test_the_centre_is_hodges_and_lehmann_s() -> None:
    changes = [0.01, 0.02, 0.05, -0.01, 0.03, 0.00, 0.04]
    means = [(a + b) / 2 for i, a in enumerate(changes) for b in changes[i:]]
    assert centre(changes).value == pytest.approx(np.median(means))


def test_the_centre_s_interval_is_the_test_s() -> None:
    changes = normal(0.02, 0.01, 12)
    interval = centre(changes)
    for shift, inside in ((interval.low + 1e-6, True), (interval.low - 1e-6, False)):
        p = stats.wilcoxon(np.array(changes) - shift, alternative="greater", method="exact").pvalue
        assert bool(p > 0.025) is inside


def test_the_interval_covers_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(400):
        interval = centre(normal(0.01, 0.02, 8, seed))
        covered += interval.low <= 0.01 <= interval.high
    assert covered >= 0.93 * 400


def test_too_few_changes_have_no_interval() -> None:
    interval = centre([0.01, 0.02, 0.03, 0.04, 0.05])
    assert math.isnan(interval.low)
    assert interval.value == pytest.approx(0.03)
    assert math.isnan(centre([]).value)


@pytest.mark.parametrize(("of_servers", "correlation"), [(0.0, 0.0), (0.01, 0.5), (0.03, 0.9)])
def test_the_correlation_by_server_is_the_share_of_variance_between_servers(
    of_servers: float, correlation: float
) -> None:
    generator = np.random.default_rng(0)
    strata = [
        {
            server: list(offset + generator.normal(mean, 0.01, 4))
            for server, offset in enumerate(generator.normal(0.0, of_servers, 200))
        }
        for mean in (0.0, 0.3)
    ]
    found = server_correlation(strata)
    assert found.value == pytest.approx(correlation, abs=0.07)
    assert found.is_high is (of_servers > 0)


def test_a_correlation_by_chance_is_not_believed() -> None:
    generator = np.random.default_rng(1)
    believed = sum(
        server_correlation([{s: list(generator.normal(0, 1, 2)) for s in range(3)}]).is_high
        for _ in range(400)
    )
    assert believed < 40  # 20 are expected at 5 %; the seed is fixed


@pytest.mark.parametrize(
    "strata", [[], [{1: [0.1, 0.2]}], [{1: [0.1], 2: [0.2]}], [{1: [0.1, 0.1], 2: [0.1]}]]
)
def test_too_few_pairs_show_no_correlation(strata: list[dict[int, list[float]]]) -> None:
    assert not server_correlation(strata).is_high


@given(st.integers(6, 24), st.floats(0.001, 0.05))
def test_what_is_detectable_is_what_as_many_pairs_would_confirm(count: int, sigma: float) -> None:
    changes = np.random.default_rng(count).normal(0, sigma, count)
    changes -= changes.mean()
    effect = detectable(changes)
    assert effect is not None
    assert effect > MARGIN
    needed = pairs_to_confirm(changes, effect, 1, max_pairs=1000)
    assert needed <= max(count + 3, 8)


@pytest.mark.parametrize("count", [0, 1, MIN_PAIRS - 1])
def test_nothing_is_detectable_in_too_few_pairs(count: int) -> None:
    assert detectable([0.001] * count) is None


def test_one_extreme_pair_does_not_make_a_row_too_noisy() -> None:
    quiet = normal(0, 0.005, 9)
    for count in range(MIN_PAIRS, 10):
        assert screen([0.4, *quiet][: count + 1], SMALLEST) is not Screened.TOO_NOISY


def test_a_row_that_was_too_noisy_may_be_decided_by_further_pairs() -> None:
    noisy = [0.2, -0.2, 0.2, -0.2, 0.2, -0.2, 0.2, -0.2]
    assert screen(noisy, SMALLEST) is Screened.TOO_NOISY
    assert screen([*noisy, *[0.3] * 16], SMALLEST) is Screened.SLOWER


@given(st.floats(0.001, 0.05))
def test_a_wider_spread_needs_more_pairs_to_screen(sigma: float) -> None:
    changes = np.random.default_rng(0).normal(0, sigma, 20)
    wider = np.random.default_rng(0).normal(0, 2 * sigma, 20)
    assert MIN_PAIRS <= pairs_to_screen(changes, 0.03) <= pairs_to_screen(wider, 0.03)
