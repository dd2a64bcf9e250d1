from collections.abc import Iterable
from pathlib import Path

import pytest

from stepbench_reports.regression.screening import SUITE_ROW, Row, Screening
from stepbench_reports.regression.statistics import Screened
from stepbench_reports.schema.check import AloneFact, FailedPairLine, PairLine, ScreenedFact
from stepbench_reports.schema.phases import STEP
from support import synthetic_check as made

STEP_ROW = Row(made.CASE, STEP)


def screening(
    path: Path, pairs: Iterable[PairLine | FailedPairLine], cases: tuple[str, ...] = (made.CASE,)
) -> Screening:
    return Screening(made.write(path, pairs, cases=cases))


def test_it_begins_with_a_pair_of_each_case(tmp_path: Path) -> None:
    wanted = screening(tmp_path, [], (made.CASE, made.OTHER)).wanted
    assert wanted is not None
    assert (wanted.stage, wanted.cases) == ("screen", (made.CASE, made.OTHER))


def test_identical_sides_are_done_with_after_the_least_number_of_pairs(tmp_path: Path) -> None:
    assert screening(tmp_path, made.entries(5)).wanted is not None
    found = screening(tmp_path, made.entries(6))
    assert found.wanted is None
    assert set(found.screened.values()) == {Screened.CLEAR}


def test_a_tiny_phase_is_not_decided_about(tmp_path: Path) -> None:
    rows = {row.what for row in screening(tmp_path, made.entries(6)).rows}
    assert rows == {STEP, "dataload", "forward", "backward"}  # the optimizer takes 1 %


def test_a_phase_that_was_tiny_and_has_grown_is(tmp_path: Path) -> None:
    found = screening(tmp_path, made.entries(6, 0.05, phase="optimizer"))
    assert found.screened[Row(made.CASE, "optimizer")] is Screened.SLOWER


def test_what_is_flagged_is_measured_again(tmp_path: Path) -> None:
    slow = made.entries(6, 0.06)
    found = screening(tmp_path, slow)
    assert found.family(Screened.SLOWER) == (STEP_ROW, Row(made.CASE, "forward"))
    assert found.wanted is not None
    assert found.wanted.stage == "confirm"
    needed = found.to_confirm[STEP_ROW]
    again = made.entries(needed, 0.06, first=7, stage="confirm")
    assert screening(tmp_path, [*slow, *again[:-1]]).wanted is not None
    assert screening(tmp_path, [*slow, *again]).wanted is None


def test_how_many_fresh_pairs_is_fixed_before_they_are_taken(tmp_path: Path) -> None:
    slow = made.entries(6, 0.06)
    before = screening(tmp_path, slow).to_confirm
    fresh = made.entries(20, -0.25, first=7, stage="confirm")
    after = screening(tmp_path, [*slow, *fresh])
    assert after.to_confirm == before
    assert len(after.confirming(STEP_ROW)) == before[STEP_ROW]


def test_disturbed_pairs_do_not_count(tmp_path: Path) -> None:
    pairs = [*made.entries(5), *made.entries(3, 0.5, first=6, disturbed=True)]
    found = screening(tmp_path, pairs)
    assert len(found.changes(STEP_ROW, "screen")) == 5
    assert found.wanted is not None


def test_a_case_whose_pairs_are_all_disturbed_is_given_up(tmp_path: Path) -> None:
    found = screening(tmp_path, made.entries(13, disturbed=True))
    assert found.cases == ()
    assert found.wanted is None
    assert "13 of 13 pairs" in (found.given_up(made.CASE) or "")


def test_a_case_that_fails_twice_is_given_up(tmp_path: Path) -> None:
    failed = made.failed("base", "it raised ValueError")
    assert screening(tmp_path, [failed]).given_up(made.CASE) is None
    told = screening(tmp_path, [failed, failed]).given_up(made.CASE)
    assert told == "base: it raised ValueError"
    alone = AloneFact(case=made.CASE, base=None, head=None)
    both = Screening(made.write(tmp_path, [failed, failed], [alone]))
    assert "both at once cannot" in (both.given_up(made.CASE) or "")


def test_the_screen_can_be_ended_for_time_to_confirm(tmp_path: Path) -> None:
    slow = made.entries(6, 0.2)
    begun = made.entries(2, case=made.OTHER)
    cases = [made.CASE, made.OTHER]
    found = Screening(made.write(tmp_path, [*slow, *begun], cases=cases))
    assert found.to_close
    assert found.wanted is not None
    assert found.wanted.stage == "screen"
    closed = ScreenedFact(pairs=8)
    found = Screening(made.write(tmp_path, [*slow, *begun], [closed], cases=cases))
    assert found.wanted is not None
    assert (found.wanted.stage, found.wanted.cases) == ("confirm", (made.CASE,))
    nothing = Screening(made.write(tmp_path, [*made.entries(2), *begun], cases=cases))
    assert not nothing.to_close


def test_the_suite_is_decided_from_rounds_that_have_all_cases(tmp_path: Path) -> None:
    both = [*made.entries(6, 0.02), *made.entries(6, 0.02, case=made.OTHER)]
    lone = made.entries(4, 0.9, first=7)
    found = screening(tmp_path, [*both, *lone], (made.CASE, made.OTHER))
    changes = found.changes(SUITE_ROW, "screen")
    assert len(changes) == 6
    assert max(changes) < 0.05


def test_a_single_case_has_no_row_of_the_suite(tmp_path: Path) -> None:
    assert SUITE_ROW not in screening(tmp_path, made.entries(6)).rows


@pytest.mark.parametrize("which", [made.CASE, made.OTHER])
def test_only_cases_that_are_undecided_go_on(tmp_path: Path, which: str) -> None:
    clear = made.OTHER if which == made.CASE else made.CASE
    pairs = [*made.entries(7, 0.2, case=which), *made.entries(6, case=clear)]
    wanted = screening(tmp_path, pairs, (made.CASE, made.OTHER)).wanted
    assert wanted is not None
    # The suite is slower with it, and needs all of its cases.
    assert wanted.cases == (made.CASE, made.OTHER)
    assert wanted.stage == "confirm"
