from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec import structs

from stepbench_reports.regression.pair_statistics import Screened
from stepbench_reports.regression.screening import SUITE_ROW, Row, Screening
from stepbench_reports.schema.check import (
    AloneFact,
    FailedPairLine,
    MinEffect,
    PairLine,
    ScreenedFact,
)
from stepbench_reports.schema.phases import STEP
from support import synthetic_check as made

STEP_ROW = Row(made.CASE, STEP)


def screening(
    path: Path, pairs: Iterable[PairLine | FailedPairLine], cases: tuple[str, ...] = (made.CASE,)
) -> Screening:
    return Screening(made.write(path, pairs, cases=cases))


def test_it_begins_with_a_pair_of_each_case(tmp_path: Path) -> None:
    next_pairs = screening(tmp_path, [], (made.CASE, made.OTHER)).next_pairs
    assert next_pairs is not None
    assert (next_pairs.stage, next_pairs.cases) == ("screen", (made.CASE, made.OTHER))


def test_identical_sides_need_the_minimum_number_of_pairs(tmp_path: Path) -> None:
    assert screening(tmp_path, made.entries(5)).next_pairs is not None
    state = screening(tmp_path, made.entries(6))
    assert state.next_pairs is None
    assert set(state.screened.values()) == {Screened.CLEAR}


def test_a_tiny_phase_is_not_decided(tmp_path: Path) -> None:
    rows = {row.what for row in screening(tmp_path, made.entries(6)).rows}
    assert rows == {STEP, "dataload", "forward", "backward"}  # the optimizer takes 1 %


def test_a_tiny_phase_that_has_grown_is_decided(tmp_path: Path) -> None:
    state = screening(tmp_path, made.entries(6, 0.05, phase="optimizer"))
    assert state.screened[Row(made.CASE, "optimizer")] is Screened.SLOWER


def test_flagged_rows_are_measured_again(tmp_path: Path) -> None:
    slow = made.entries(6, 0.06)
    state = screening(tmp_path, slow)
    assert state.family(Screened.SLOWER) == (STEP_ROW, Row(made.CASE, "forward"))
    assert state.next_pairs is not None
    assert state.next_pairs.stage == "confirm"
    needed = state.to_confirm[STEP_ROW]
    again = made.entries(needed, 0.06, first=7, stage="confirm")
    assert screening(tmp_path, [*slow, *again[:-1]]).next_pairs is not None
    assert screening(tmp_path, [*slow, *again]).next_pairs is None


def test_how_many_fresh_pairs_is_fixed_before_they_are_taken(tmp_path: Path) -> None:
    slow = made.entries(6, 0.06)
    before = screening(tmp_path, slow).to_confirm
    fresh = made.entries(20, -0.25, first=7, stage="confirm")
    after = screening(tmp_path, [*slow, *fresh])
    assert after.to_confirm == before
    assert len(after.fresh_changes(STEP_ROW)) == before[STEP_ROW]


def test_pairs_with_interference_do_not_count(tmp_path: Path) -> None:
    pairs = [*made.entries(5), *made.entries(3, 0.5, first=6, interference=True)]
    state = screening(tmp_path, pairs)
    assert len(state.changes(STEP_ROW, "screen")) == 5
    assert state.next_pairs is not None


def test_a_case_with_interference_in_all_pairs_is_excluded(tmp_path: Path) -> None:
    assert screening(tmp_path, made.entries(8, interference=True)).cases == (made.CASE,)
    state = screening(tmp_path, made.entries(9, interference=True))
    assert state.cases == ()
    assert state.next_pairs is None
    assert "9 of 9 pairs" in (state.interference_reason(made.CASE) or "")


def test_a_case_that_fails_twice_is_excluded(tmp_path: Path) -> None:
    failed = made.failed("base", "it raised ValueError")
    assert screening(tmp_path, [failed]).failure_reason(made.CASE) is None
    reason = screening(tmp_path, [failed, failed]).failure_reason(made.CASE)
    assert reason == "base: it raised ValueError"
    alone = AloneFact(case=made.CASE, base=None, head=None)
    both = Screening(made.write(tmp_path, [failed, failed], [alone]))
    assert "but not both at once" in (both.failure_reason(made.CASE) or "")


def test_screening_can_end_early_to_leave_time_to_confirm(tmp_path: Path) -> None:
    slow = made.entries(6, 0.2)
    begun = made.entries(2, case=made.OTHER)
    cases = [made.CASE, made.OTHER]
    state = Screening(made.write(tmp_path, [*slow, *begun], cases=cases))
    assert STEP_ROW in state.awaiting
    assert state.next_pairs is not None
    assert state.next_pairs.stage == "screen"
    closed = ScreenedFact(pairs=8)
    state = Screening(made.write(tmp_path, [*slow, *begun], [closed], cases=cases))
    assert state.next_pairs is not None
    assert (state.next_pairs.stage, state.next_pairs.cases) == ("confirm", (made.CASE,))
    nothing = Screening(made.write(tmp_path, [*made.entries(2), *begun], cases=cases))
    assert nothing.awaiting == ()


def test_steps_come_before_phases(tmp_path: Path) -> None:
    """The first case has a slower and an undecided phase, the other one an undecided step."""
    changes = {"forward": 0.06, "backward": -0.06}
    slow = [
        made.entry(number, {phase: share + noise for phase, share in changes.items()})
        for number, noise in enumerate(made.noise(6, 0.002), start=1)
    ]
    cases = (made.CASE, made.OTHER)
    state = screening(tmp_path, [*slow, *made.entries(3, case=made.OTHER)], cases)
    assert state.screened[STEP_ROW] is Screened.CLEAR
    assert state.family(Screened.SLOWER) == (Row(made.CASE, "forward"),)
    assert state.undecided == (made.OTHER,)
    assert state.awaiting == ()
    done = screening(tmp_path, [*slow, *made.entries(6, case=made.OTHER)], cases)
    assert done.awaiting == (Row(made.CASE, "forward"),)


def test_the_suite_needs_no_round_in_which_all_pairs_count(tmp_path: Path) -> None:
    first = [made.entry(n, interference=n % 2 == 0) for n in range(1, 13)]
    other = [made.entry(n, case=made.OTHER, interference=n % 2 == 1) for n in range(1, 13)]
    state = screening(tmp_path, [*first, *other], (made.CASE, made.OTHER))
    assert len(state.changes(SUITE_ROW, "screen")) == 6
    assert state.screened[SUITE_ROW] is Screened.CLEAR


def test_the_suite_is_decided_from_as_many_pairs_as_each_case_has(tmp_path: Path) -> None:
    both = [*made.entries(6, 0.02), *made.entries(6, 0.02, case=made.OTHER)]
    lone = made.entries(4, 0.9, first=7)
    state = screening(tmp_path, [*both, *lone], (made.CASE, made.OTHER))
    changes = state.changes(SUITE_ROW, "screen")
    assert len(changes) == 6
    assert max(changes) < 0.05


def test_a_row_with_an_effect_of_its_own_is_screened_for_it(tmp_path: Path) -> None:
    pairs = made.entries(6, 0.05)
    effects = (MinEffect(rows="step", share=0.2), MinEffect(rows="convnet-*-b4-*", share=0.3))
    state = Screening(made.write(tmp_path, pairs, min_effects=effects))
    assert state.screened[STEP_ROW] is Screened.CLEAR
    assert state.screened[Row(made.CASE, "forward")] is Screened.SLOWER


def test_the_last_effect_that_fits_counts(tmp_path: Path) -> None:
    effects = (MinEffect(rows="convnet-*", share=0.3), MinEffect(rows="step", share=0.2))
    state = Screening(made.write(tmp_path, [], min_effects=effects))
    assert state.min_effect(STEP_ROW) == 0.2
    assert state.min_effect(Row(made.CASE, "forward")) == 0.3
    assert state.min_effect(SUITE_ROW) == 0.2


def test_a_single_case_has_no_row_of_the_suite(tmp_path: Path) -> None:
    assert SUITE_ROW not in screening(tmp_path, made.entries(6)).rows


@pytest.mark.parametrize("which", [made.CASE, made.OTHER])
def test_the_suite_is_confirmed_with_all_of_its_cases(tmp_path: Path, which: str) -> None:
    clear = made.OTHER if which == made.CASE else made.CASE
    pairs = [*made.entries(7, 0.2, case=which), *made.entries(6, case=clear)]
    next_pairs = screening(tmp_path, pairs, (made.CASE, made.OTHER)).next_pairs
    assert next_pairs is not None
    # The suite is slower with it, and needs all of its cases.
    assert next_pairs.cases == (made.CASE, made.OTHER)
    assert next_pairs.stage == "confirm"


def by_server(count: int, offsets: dict[int, float]) -> list[PairLine]:
    """Pairs that take servers in rotation, and change by an offset of their server."""
    servers = list(offsets)
    return [
        made.entry(number, {"forward": offsets[server] + noise}, server=server)
        for number, noise in enumerate(made.noise(count, 0.001), start=1)
        for server in [servers[number % len(servers)]]
    ]


def test_pairs_of_servers_that_differ_count_as_one(tmp_path: Path) -> None:
    state = screening(tmp_path, by_server(12, {1: -0.04, 2: 0.0, 3: 0.05}))
    assert state.server_correlation.value > 0.9
    assert state.is_clustered
    changes = state.changes(STEP_ROW, "screen")
    assert len(changes) == 3
    assert sorted(round(change, 2) for change in changes) == [-0.04, 0.0, 0.05]
    assert state.next_pairs is not None  # three changes are too few


def test_pairs_of_servers_that_are_alike_count_each(tmp_path: Path) -> None:
    state = screening(tmp_path, by_server(12, {1: 0.0, 2: 0.0, 3: 0.0}))
    assert not state.is_clustered
    assert len(state.changes(STEP_ROW, "screen")) == 12


def test_the_suite_s_pairs_count_by_server_as_well(tmp_path: Path) -> None:
    pairs = by_server(12, {1: -0.04, 2: 0.0, 3: 0.05})
    other = [structs.replace(pair, case=made.OTHER) for pair in pairs]
    state = screening(tmp_path, [*pairs, *other], (made.CASE, made.OTHER))
    assert len(state.changes(SUITE_ROW, "screen")) == 3


def test_the_pairs_to_confirm_are_those_of_all_cases_of_flagged_rows(tmp_path: Path) -> None:
    slow = made.entries(6, 0.06)
    state = screening(tmp_path, slow)
    most = max(state.to_confirm.values())
    assert state.pairs_lacking(state.to_confirm) == {made.CASE: most}
    again = made.entries(2, 0.06, first=7, stage="confirm")
    state = screening(tmp_path, [*slow, *again])
    assert state.pairs_lacking(state.to_confirm) == {made.CASE: most - 2}
    assert state.fewest_pairs_left == {made.CASE: most - 2}
    assert screening(tmp_path, made.entries(6)).fewest_pairs_left == {}


def test_the_pairs_left_are_those_of_the_screen_and_of_the_confirmation(tmp_path: Path) -> None:
    cases = (made.CASE, made.OTHER)
    pairs = [*made.entries(6, 0.2), *made.entries(2, case=made.OTHER)]
    state = screening(tmp_path, pairs, cases)
    confirmation = max(state.to_confirm.values())
    assert state.fewest_pairs_left == {made.CASE: confirmation, made.OTHER: 4}


def test_the_pairs_to_decide_grow_with_the_spread(tmp_path: Path) -> None:
    assert screening(tmp_path, made.entries(2)).fewest_rounds_to_decide == 4
    noisy = [
        made.entry(number, {"forward": change})
        for number, change in enumerate(
            [-0.055, 0.055, -0.04, 0.066, 0.044, -0.044, 0.055, -0.055], start=1
        )
    ]
    state = screening(tmp_path, noisy, (made.CASE,))
    assert state.undecided == (made.CASE,)
    assert state.fewest_rounds_to_decide >= 2


def test_a_few_noisy_pairs_do_not_tell_that_nothing_can_be_decided(tmp_path: Path) -> None:
    noisy = [made.entry(number, {"forward": 0.3 * (number % 2)}) for number in range(1, 8)]
    for count in range(len(noisy) + 1):
        state = screening(tmp_path, noisy[:count], (made.CASE,))
        assert state.fewest_rounds_to_decide == max(6 - count, 0)
