import math
from collections.abc import Sequence

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from stepbench_reports.analysis.generations import (
    MAX_DELAY,
    MIN_STRANGERS,
    GenerationSteps,
    generation_steps,
    kept,
    log_interval,
    log_ratios,
    mean_of_generations,
    mean_step,
)

NAN = math.nan
shares = st.floats(0, 5)
delay_lists = st.lists(st.one_of(st.none(), shares), max_size=20)


# --- which turns count ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delays", "strangers", "counts"),
    [
        # The usual share of waiting is 0.01, and 0.03 is the limit.
        ([0.01, 0.01, 0.01, 0.02, 0.04], [0.3] * 5, [True, True, True, True, False]),
        # No stranger took the cores: the case's own threads wait for each other.
        ([0.01, 0.01, 0.01, 0.02, 0.50], [0.01] * 5, [True] * 5),
        ([0.01, 0.01, 0.01, 0.02, 0.50], [0.3, 0.3, 0.3, 0.3, 0.049], [True] * 5),
        # Waiting that is usual for the player, since it has more workers than cores.
        ([0.40, 0.41, 0.40, 0.41, 0.50], [0.3] * 5, [True, True, True, True, False]),
        # Unknown strangers do not excuse a delay; an unknown delay counts.
        ([0.0, 0.0, 0.0, 0.5], [None] * 4, [True, True, True, False]),
        ([0.0, 0.0, None, 0.5], [0.3] * 4, [True, True, True, False]),
        ([None, None], [0.9, None], [True, True]),
        ([0.7], [0.9], [True]),
        ([], [], []),
    ],
)
def test_turns_that_waited_for_a_core_longer_than_usual_are_left_out(
    delays: Sequence[float | None], strangers: Sequence[float | None], counts: list[bool]
) -> None:
    assert kept(delays, strangers, [None] * len(delays)) == counts


def test_each_turn_needs_both_shares() -> None:
    with pytest.raises(ValueError, match="shorter"):
        kept([0.0, 0.0], [0.0], [0.0, 0.0])


def test_turns_that_a_cpu_quota_stopped_for_longer_than_usual_are_left_out() -> None:
    quiet = [0.0] * 5
    # The usual share is 0.30: a quota below what the player needs stops it in every turn.
    assert kept(quiet, quiet, [0.30, 0.31, 0.30, 0.31, 0.40]) == [True, True, True, True, False]
    assert kept(quiet, quiet, [0.0, 0.0, 0.0, 0.015, 0.025]) == [True, True, True, True, False]
    assert kept(quiet, quiet, [None, None, 0.0, 0.0, 0.5]) == [True, True, True, True, False]


@given(st.data(), delay_lists)
def test_the_rule_judges_each_turn_alike_in_any_order(
    data: st.DataObject, delays: list[float | None]
) -> None:
    lists = st.lists(st.one_of(st.none(), shares), min_size=len(delays), max_size=len(delays))
    strangers, stopped = data.draw(lists), data.draw(lists)
    counts = kept(delays, strangers, stopped)
    order = data.draw(st.permutations(range(len(delays))))
    again = kept(*([of_turns[i] for i in order] for of_turns in (delays, strangers, stopped)))
    assert again == [counts[i] for i in order]


@given(st.lists(shares, min_size=1, max_size=30))
def test_a_quarter_of_the_turns_always_counts(delays: list[float]) -> None:
    counts = kept(delays, [1.0] * len(delays), [0.0] * len(delays))
    assert sum(counts) >= len(delays) / 4
    assert counts[int(np.argmin(delays))]


@given(st.lists(shares, min_size=1, max_size=30), st.floats(0, MIN_STRANGERS, exclude_max=True))
def test_without_strangers_every_turn_counts(delays: list[float], strangers: float) -> None:
    assert all(kept(delays, [strangers] * len(delays), [0.0] * len(delays)))


@given(st.lists(shares, min_size=1, max_size=30), st.floats(0, 3))
def test_what_all_turns_wait_is_usual(delays: list[float], more: float) -> None:
    everywhere, nowhere = [1.0] * len(delays), [0.0] * len(delays)
    usual = float(np.quantile(delays, 0.25))
    clear = [abs(delay - usual - MAX_DELAY) > 1e-6 for delay in delays]
    counts = kept(delays, everywhere, nowhere)
    shifted = kept([delay + more for delay in delays], everywhere, nowhere)
    assert [count for count, is_clear in zip(counts, clear, strict=True) if is_clear] == [
        count for count, is_clear in zip(shifted, clear, strict=True) if is_clear
    ]


# --- a generation's steps ------------------------------------------------------------------------

ELAPSED_S, STEPS = [0.10, 0.44, 0.30, 0.80], [10, 20, 30, 40]
"""Turns with mean steps of 10, 22, 10 and 20 ms."""


def test_a_generation_s_mean_steps_are_totals() -> None:
    steps = generation_steps(ELAPSED_S, STEPS, [True, False, True, True], workers=False)
    assert steps.kept_s == pytest.approx((0.10 + 0.30 + 0.80) / 80)
    assert steps.fastest_s == pytest.approx(0.010)
    assert steps.all_s == pytest.approx(1.64 / 100)


@pytest.mark.parametrize(
    ("counts", "kept_s"),
    [
        ([True, False, False, True], 0.90 / 50),
        ([False, True, False, False], NAN),
        ([False] * 4, NAN),
    ],
)
def test_with_fewer_than_half_of_the_turns_the_rest_does_not_count(
    counts: list[bool], kept_s: float
) -> None:
    steps = generation_steps(ELAPSED_S, STEPS, counts, workers=False)
    assert steps.kept_s == pytest.approx(kept_s, nan_ok=True)
    assert steps.fastest_s == pytest.approx(0.010)


def test_stalls_of_loader_workers_are_not_hidden_by_the_fastest_turns() -> None:
    steps = generation_steps(ELAPSED_S, STEPS, [False] * 4, workers=True)
    assert math.isnan(steps.fastest_s)
    assert steps.all_s == pytest.approx(1.64 / 100)


def test_the_fastest_quarter_is_of_whole_turns() -> None:
    elapsed_s = [0.1 * n for n in range(1, 12)]  # a quarter of 11 turns is 2 turns
    steps = generation_steps(elapsed_s, [10] * 11, [True] * 11, workers=False)
    assert steps.fastest_s == pytest.approx((0.1 + 0.2) / 20)
    assert generation_steps([0.3], [10], [True], workers=False).fastest_s == pytest.approx(0.03)


@given(
    st.lists(
        st.tuples(st.floats(1e-3, 1e3), st.integers(1, 1000), st.booleans()),
        min_size=1,
        max_size=20,
    )
)
def test_no_mean_is_beyond_the_fastest_and_the_slowest_turn(
    turns: list[tuple[float, int, bool]],
) -> None:
    elapsed_s, counts, keep = (list(column) for column in zip(*turns, strict=True))
    steps = generation_steps(elapsed_s, counts, keep, workers=False)
    means = [seconds / count for seconds, count in zip(elapsed_s, counts, strict=True)]
    for mean in (steps.kept_s, steps.fastest_s, steps.all_s):
        assert math.isnan(mean) or min(means) * (1 - 1e-9) <= mean <= max(means) * (1 + 1e-9)
    assert steps.fastest_s <= steps.all_s * (1 + 1e-9)


# --- over generations ----------------------------------------------------------------------------


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_interval_is_student_s_on_the_logarithms(confidence: float) -> None:
    samples = [1.0, 1.3, 0.8, 1.1, 0.9]
    interval = log_interval(samples, confidence)
    logs = np.log(samples)
    ends = scipy.stats.t.interval(confidence, 4, logs.mean(), scipy.stats.sem(logs))
    assert interval.value == pytest.approx(scipy.stats.gmean(samples))
    assert (interval.low, interval.high) == pytest.approx(np.exp(ends))


@given(
    st.lists(st.floats(0.01, 100), min_size=2, max_size=12),
    st.floats(0.01, 100),
)
def test_the_interval_scales_and_inverts(samples: list[float], scale: float) -> None:
    interval = log_interval(samples)
    assert 0 < interval.low * (1 - 1e-9) <= interval.value <= interval.high * (1 + 1e-9)
    scaled = log_interval([scale * sample for sample in samples])
    assert scaled.low == pytest.approx(scale * interval.low, rel=1e-6)
    inverse = log_interval([1 / sample for sample in samples])
    assert inverse.low == pytest.approx(1 / interval.high, rel=1e-6)


def steps(kept_s: float, fastest_s: float = NAN, all_s: float = NAN) -> GenerationSteps:
    return GenerationSteps(kept_s, fastest_s, all_s)


def test_a_player_s_mean_step_is_over_all_turns() -> None:
    generations = {0: steps(NAN, 0.001, 0.010), 1: steps(0.002, 0.001, 0.040)}
    assert mean_step(generations).value == pytest.approx(0.020)
    assert math.isnan(mean_step({}).value)
    (alone,) = [mean_step({0: steps(0.001, 0.001, 0.003)})]
    assert alone.value == pytest.approx(0.003)
    assert math.isnan(alone.low)


def test_ratios_are_of_generations_that_both_have() -> None:
    a = {(0, 0): steps(0.010), (0, 1): steps(0.020), (0, 2): steps(0.030)}
    b = {(0, 2): steps(0.060), (0, 0): steps(0.030), (1, 1): steps(0.001)}
    assert log_ratios(a, b) == pytest.approx([math.log(3), math.log(2)])
    assert log_ratios(b, a) == pytest.approx([-math.log(2), -math.log(3)])
    assert log_ratios(a, {}) == []


@pytest.mark.parametrize(
    ("a", "b", "ratio"),
    [
        (steps(1.0, 2.0, 3.0), steps(10.0, 40.0, 90.0), 10),
        (steps(NAN, 2.0, 3.0), steps(10.0, 40.0, 90.0), 20),
        (steps(1.0, 2.0, 3.0), steps(NAN, 40.0, 90.0), 20),
        # The second one has loader workers.
        (steps(NAN, 2.0, 3.0), steps(10.0, NAN, 90.0), 30),
        (steps(1.0, 2.0, 3.0), steps(10.0, NAN, 90.0), 10),
    ],
)
def test_a_ratio_is_of_the_same_figure_on_both_sides(
    a: GenerationSteps, b: GenerationSteps, ratio: float
) -> None:
    assert log_ratios({0: a}, {0: b}) == pytest.approx([math.log(ratio)])
    assert log_ratios({0: b}, {0: a}) == pytest.approx([-math.log(ratio)])


def test_further_generations_add_no_degrees_of_freedom() -> None:
    """Their number follows from the spread of the first six."""
    logs = np.log([1.0, 1.1, 0.9, 1.2, 1.0, 1.05, 0.95, 1.1, 1.0, 1.15])
    interval = mean_of_generations(logs)
    half = scipy.stats.t.ppf(0.975, 5) * scipy.stats.sem(logs)
    assert interval.half_width == pytest.approx(half)
    few = mean_of_generations(logs[:4])
    assert few.half_width == pytest.approx(scipy.stats.t.ppf(0.975, 3) * scipy.stats.sem(logs[:4]))
