import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy import special

from stepbench_reports.analysis.stats import Interval
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.ratio import mean_ratio, ratio, unpaired_ratio
from stepbench_reports.schema.measurement import Findings
from support import synthetic

Key = tuple[int, int]
"""A group and a generation."""


def case(
    steps_s: Mapping[Key, float] | Sequence[float],
    *,
    turns: list[dict[str, Any]] | None = None,
    **axes: Any,
) -> Measurement:
    """A case with a bare turn of ten steps in each generation.

    Args:
        steps_s: The mean step in each generation, seconds; a sequence is of group 0.
        turns: The turns, instead of those.
        axes: Axes that are not at their first value in `synthetic.AXES`.
    """
    if not isinstance(steps_s, Mapping):
        steps_s = {(0, number): step_s for number, step_s in enumerate(steps_s)}
    all_axes = {**{name: values[0] for name, values in synthetic.AXES.items()}, **axes}
    turns = turns or [
        {
            "group": group, "generation": generation, "round": 0, "kind": "bare", "steps": 10,
            "elapsed_s": 10 * step_s,
        }
        for (group, generation), step_s in steps_s.items()
    ]  # fmt: skip
    blocks = synthetic.bare(list(steps_s.values()) or [0.02])
    file = synthetic.case_file(all_axes, {"step": [0.01] * 8}, blocks=blocks, turns=turns)
    findings = msgspec.convert(
        {name: value for name, value in file.items() if name in Findings.__struct_fields__},
        Findings,
    )
    return Measurement(
        file["id"], all_axes, "ok", findings=findings, blocks=findings.blocks,
        laps={"host": {"step": np.array([0.01] * 8)}},
    )  # fmt: skip


def ends(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def by_hand(logs: ArrayLike, confidence: float = 0.95) -> tuple[float, float, float]:
    """The geometric mean and Student's t interval of log ratios."""
    samples = np.asarray(logs, dtype=np.float64).ravel()
    mean, error = float(samples.mean()), scipy.stats.sem(samples)
    low, high = scipy.stats.t.interval(confidence, len(samples) - 1, mean, error)
    return math.exp(mean), math.exp(low), math.exp(high)


A_S, B_S = [0.010, 0.012, 0.011, 0.015], [0.020, 0.023, 0.024, 0.028]


def test_a_ratio_is_paired_by_generation() -> None:
    found = ratio(case(A_S), case(B_S))
    assert found.paired
    assert ends(found.interval) == pytest.approx(by_hand(np.log(B_S) - np.log(A_S)))


def test_a_drift_that_both_share_is_not_in_a_paired_ratio() -> None:
    drift = [1.0, 3.0, 0.5, 7.0]
    a = case([0.010 * factor for factor in drift])
    b = case([0.015 * factor for factor in drift])
    assert ends(ratio(a, b).interval) == pytest.approx((1.5, 1.5, 1.5))


def test_only_generations_that_both_have_are_compared() -> None:
    b = {(0, number): step_s for number, step_s in enumerate(B_S)}
    del b[0, 1]
    logs = [math.log(B_S[n] / A_S[n]) for n in (0, 2, 3)]
    assert ends(ratio(case(A_S), case(b)).interval) == pytest.approx(by_hand(logs))


@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_a_higher_confidence_is_a_wider_interval(confidence: float) -> None:
    found = ratio(case(A_S), case(B_S), confidence=confidence)
    logs = np.log(B_S) - np.log(A_S)
    assert ends(found.interval) == pytest.approx(by_hand(logs, confidence))


def test_samples_per_s_count_the_samples_and_steps_do_not() -> None:
    a, b = case(A_S, batch_size=32), case(B_S, batch_size=4, accumulate=2)
    value, low, high = by_hand(np.log(B_S) - np.log(A_S))
    assert ends(ratio(a, b).interval) == pytest.approx((4 * value, 4 * low, 4 * high))
    of_steps = ratio(a, b, of="step")
    assert of_steps.paired
    assert ends(of_steps.interval) == pytest.approx((1 / value, 1 / high, 1 / low))


def test_one_generation_has_a_ratio_and_no_interval() -> None:
    found = ratio(case([0.010]), case([0.025]))
    assert found.paired
    assert found.interval.value == pytest.approx(2.5)
    assert math.isnan(found.interval.low)
    assert math.isnan(found.interval.high)


def test_two_generations_at_a_high_confidence_have_an_end_that_is_a_number() -> None:
    found = ratio(case([0.001, 0.1]), case([1.0, 1.0]), confidence=1 - 1e-5).interval
    assert 0 < found.low < found.value < found.high < math.inf


def case_left_out(kept_s: Sequence[float], left_out_s: Sequence[float]) -> Measurement:
    """A case with two turns that count and one that is left out in each generation."""
    turns = [
        {
            "generation": number, "round": round_, "kind": "bare", "steps": 10,
            "elapsed_s": 10 * step_s, "counts": round_ < 2,
        }
        for number, both in enumerate(zip(kept_s, left_out_s, strict=True))
        for round_, step_s in enumerate((both[0], both[0], both[1]))
    ]  # fmt: skip
    return case([], turns=turns)


@pytest.mark.parametrize(
    ("left_out_s", "differ"),
    [
        ([0.030, 0.031, 0.029, 0.030], True),
        ([0.0101, 0.0102, 0.0099, 0.0101], False),
        # The turns that were left out are slow in one generation alone: all turns have an interval
        # that holds the ratio of those that count.
        ([0.010, 0.010, 0.010, 0.090], False),
    ],
)
def test_both_estimates_are_kept_where_turns_are_left_out(
    left_out_s: list[float], differ: bool
) -> None:
    kept_s = [0.0100, 0.0101, 0.0099, 0.0100]
    disturbed, quiet = case_left_out(kept_s, left_out_s), case([0.010] * 4)
    found = ratio(quiet, disturbed)
    assert ends(found.interval) == pytest.approx(by_hand(np.log(kept_s) - math.log(0.010)))
    all_s = (2 * np.array(kept_s) + left_out_s) / 3
    assert ends(found.as_it_ran) == pytest.approx(by_hand(np.log(all_s) - math.log(0.010)))
    assert found.estimates_differ is differ
    of_steps = ratio(quiet, disturbed, of="step")
    assert of_steps.as_it_ran.value == pytest.approx(1 / found.as_it_ran.value)
    assert of_steps.estimates_differ is differ


def test_estimates_without_intervals_do_not_differ() -> None:
    found = ratio(case([0.010]), case_left_out([0.010], [0.090]))
    assert found.as_it_ran.value > 3
    assert not found.estimates_differ


# --- cases that took no turns with each other ----------------------------------------------------


def in_group(group: int, steps_s: Sequence[float]) -> dict[Key, float]:
    return {(group, number): step_s for number, step_s in enumerate(steps_s)}


LINK_A_S, LINK_B_S = [0.030, 0.031, 0.035, 0.040], [0.005, 0.0055, 0.006, 0.008]
LINKED = {**in_group(0, LINK_A_S), **in_group(1, LINK_B_S)}


def test_a_third_case_links_two_groups() -> None:
    a, b, link = case(in_group(0, A_S)), case(in_group(1, B_S)), case(LINKED)
    found = ratio(a, b, [a, b, link])
    assert found.paired
    # The variances of both ratios add up; each has 3 degrees of freedom.
    first = np.log(LINK_A_S) - np.log(A_S)
    second = np.log(B_S) - np.log(LINK_B_S)
    value = first.mean() + second.mean()
    half = scipy.stats.t.ppf(0.975, 3) * math.hypot(scipy.stats.sem(first), scipy.stats.sem(second))
    expected = [math.exp(value + change) for change in (0, -half, half)]
    assert ends(found.interval) == pytest.approx(expected)
    assert ends(ratio(b, a, [link]).interval) == pytest.approx(
        [1 / expected[0], 1 / expected[2], 1 / expected[1]]
    )


def test_a_link_takes_the_groups_drift_out_of_the_ratio() -> None:
    slow = 3.0  # the machine was three times as slow while the second group was measured
    a, b = case(in_group(0, [0.010] * 3)), case(in_group(1, [0.020 * slow] * 3))
    link = case({**in_group(0, [0.030] * 3), **in_group(1, [0.030 * slow] * 3)})
    assert ratio(a, b, [link]).interval.value == pytest.approx(2)
    alone = ratio(a, b, [a, b])
    assert not alone.paired
    assert alone.interval.value == pytest.approx(2 * slow)


def test_without_a_link_the_variances_of_both_add_up() -> None:
    a, b = case(in_group(0, A_S)), case(in_group(1, B_S[:3]))
    found = ratio(a, b)
    assert not found.paired
    logs = np.log(A_S), np.log(B_S[:3])
    value = logs[1].mean() - logs[0].mean()
    # As few degrees of freedom as the case with the fewest generations has.
    half = scipy.stats.t.ppf(0.975, 2) * math.hypot(*map(scipy.stats.sem, logs))
    expected = [math.exp(value + change) for change in (0, -half, half)]
    assert ends(found.interval) == pytest.approx(expected)


@pytest.mark.parametrize("function", [ratio, unpaired_ratio])
def test_a_case_without_turns_has_a_ratio_of_means(function: Any) -> None:
    found = function(case([0.010, 0.010]), case([]))
    interval = found if function is unpaired_ratio else found.interval
    assert interval.value == pytest.approx(2)  # of its blocks, 20 ms a step
    assert math.isnan(interval.low)


def test_a_case_that_was_not_measured_has_no_ratio() -> None:
    nothing = Measurement("a", case([]).axes, "oom", "no memory")
    for found in (ratio(case(A_S), nothing), ratio(nothing, case(A_S))):
        assert all(map(math.isnan, ends(found.interval)))
        assert not found.paired


def test_runs_are_not_paired_though_their_generations_have_the_same_numbers() -> None:
    a, b = case(A_S), case(B_S, batch_size=8)
    logs = np.log(A_S), np.log(B_S)
    value = logs[1].mean() - logs[0].mean() - math.log(2)
    half = scipy.stats.t.ppf(0.975, 3) * math.hypot(*map(scipy.stats.sem, logs))
    expected = [math.exp(value + change) for change in (0, -half, half)]
    assert ends(unpaired_ratio(a, b)) == pytest.approx(expected)


# --- properties ----------------------------------------------------------------------------------

steps_lists = st.lists(st.tuples(st.floats(1e-4, 10), st.floats(1e-4, 10)), min_size=2, max_size=6)
scales = st.floats(1e-3, 1e3)


@given(steps_lists, st.booleans())
def test_the_inverse_ratio_has_the_inverse_interval(
    steps_s: list[tuple[float, float]], paired: bool
) -> None:
    a_s, b_s = (in_group(0, side) for side in zip(*steps_s, strict=True))
    a, b = case(a_s), case(b_s if paired else {(1, number): s for (_, number), s in b_s.items()})
    there, back = ratio(a, b), ratio(b, a)
    assert there.paired == back.paired == paired
    value, low, high = ends(there.interval)
    assert low * (1 - 1e-9) <= value <= high * (1 + 1e-9)
    assert ends(back.interval) == pytest.approx((1 / value, 1 / high, 1 / low), rel=1e-6)


@given(steps_lists, scales)
def test_a_ratio_scales_with_the_steps(steps_s: list[tuple[float, float]], scale: float) -> None:
    a_s, b_s = zip(*steps_s, strict=True)
    plain = ratio(case(a_s), case(b_s)).interval
    both = ratio(case([scale * s for s in a_s]), case([scale * s for s in b_s])).interval
    one = ratio(case(a_s), case([scale * s for s in b_s])).interval
    assert ends(both) == pytest.approx(ends(plain), rel=1e-6)
    assert ends(one) == pytest.approx([scale * end for end in ends(plain)], rel=1e-6)


# --- the mean over pairs of cases ----------------------------------------------------------------


def test_the_mean_of_ratios_has_an_interval_over_generations() -> None:
    a, b, c, d = case(A_S), case(B_S), case(LINK_A_S, batch_size=8), case(LINK_B_S)
    mean = mean_ratio([(a, b), (c, d)])
    first = np.log(B_S) - np.log(A_S)
    second = np.log(LINK_B_S) - np.log(LINK_A_S) + math.log(2)
    assert ends(mean) == pytest.approx(by_hand((first + second) / 2))
    assert ends(mean_ratio([(a, b)])) == pytest.approx(ends(ratio(a, b).interval))


def test_a_generation_that_a_pair_lacks_is_in_no_mean() -> None:
    short = {(0, number): LINK_A_S[number] for number in (0, 2, 3)}
    mean = mean_ratio([(case(A_S), case(B_S)), (case(short), case(LINK_B_S))])
    logs = [
        (math.log(B_S[n] / A_S[n]) + math.log(LINK_B_S[n] / LINK_A_S[n])) / 2 for n in (0, 2, 3)
    ]
    assert ends(mean) == pytest.approx(by_hand(logs))


def test_pairs_of_two_groups_are_independent_parts_of_a_mean() -> None:
    first = (case(A_S), case(B_S))
    others = [
        (case(in_group(1, LINK_A_S)), case(in_group(1, LINK_B_S), batch_size=size))
        for size in (4, 8)
    ]
    mean = mean_ratio([first, *others])
    logs = [np.log(B_S) - np.log(A_S), np.log(LINK_B_S) - np.log(LINK_A_S)]
    weights = [1 / 3, 2 / 3]
    value = sum(w * float(np.mean(part)) for w, part in zip(weights, logs, strict=True))
    error = math.sqrt(
        sum(w**2 * np.var(part, ddof=1) / len(part) for w, part in zip(weights, logs, strict=True))
    )
    half = float(special.stdtrit(len(A_S) - 1, 0.975)) * error
    samples = -math.log(2) / 3  # one of three pairs compares 4 samples with 8
    expected = [math.exp(value + samples + shift) for shift in (0, -half, half)]
    assert ends(mean) == pytest.approx(expected)


@pytest.mark.parametrize(
    "second",
    [
        (case(in_group(1, [0.02])), case(in_group(1, [0.06]))),
        (case([0.02]), case([0.06])),
    ],
)
def test_pairs_without_two_generations_in_common_have_a_mean_without_an_interval(
    second: tuple[Measurement, Measurement],
) -> None:
    first = case([0.010] * 3, batch_size=8), case([0.020] * 3)
    mean = mean_ratio([first, second])
    assert mean.value == pytest.approx(math.sqrt(4 * 3))
    assert math.isnan(mean.low)
