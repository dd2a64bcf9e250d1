from pathlib import Path
from typing import Any

import pytest

from stepbench_reports.regression.decision import Decision, Finding, decide, verdict_file
from stepbench_reports.regression.screening import SUITE, Row
from stepbench_reports.schema.check import (
    BeginFact,
    CaseReason,
    EndFact,
    Fact,
    FatalFact,
    PairLine,
    Stage,
)
from stepbench_reports.schema.files import decode, encode
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.verdict import Verdict, VerdictFile
from support import synthetic_check as made


def decided(path: Path, *pairs: PairLine, **more: Any) -> Decision:
    return decide(made.write(path, pairs, **more))


def step(decision: Decision, case: str = made.CASE) -> Finding:
    return next(each for each in decision.findings if each.row == Row(case, STEP))


def slowed(
    slower: float, *, phase: str = "forward", case: str = made.CASE, fresh: float | None = None
) -> list[PairLine]:
    """A whole check of one case."""
    again = slower if fresh is None else fresh
    return [
        *made.entries(6, slower, phase=phase, case=case),
        *made.entries(24, again, phase=phase, case=case, first=7, stage="confirm"),
    ]


def test_identical_sides_pass(tmp_path: Path) -> None:
    found = decided(tmp_path, *made.entries(6))
    assert step(found).verdict is Verdict.PASS
    assert found.exit_code == 0
    assert found.blamed(made.CASE) is None


@pytest.mark.parametrize("phase", ["dataload", "forward", "backward", "optimizer"])
def test_a_slowdown_is_a_regression_and_its_phase_is_blamed(tmp_path: Path, phase: str) -> None:
    found = decided(tmp_path, *slowed(0.05, phase=phase))
    assert found.exit_code == 1
    assert step(found).verdict is Verdict.REGRESSION
    assert step(found).p is not None
    assert step(found).change.low < 0.05 < step(found).change.high + 0.003
    blamed = found.blamed(made.CASE)
    assert blamed is not None
    assert blamed.row.what == phase


def test_a_speed_up_is_an_improvement_and_no_failure(tmp_path: Path) -> None:
    found = decided(tmp_path, *slowed(-0.05))
    assert step(found).verdict is Verdict.IMPROVEMENT
    assert found.exit_code == 0
    assert found.improvements[0].row.what in {STEP, "forward"}


def test_what_fresh_pairs_do_not_confirm_is_no_regression(tmp_path: Path) -> None:
    found = decided(tmp_path, *slowed(0.06, fresh=0.0))
    assert step(found).verdict is Verdict.PASS
    assert found.exit_code == 0


def test_the_screen_s_pairs_are_not_used_again(tmp_path: Path) -> None:
    found = step(decided(tmp_path, *slowed(0.5, fresh=0.05)))
    assert found.change.high < 0.1


def test_a_slowdown_within_the_margin_is_none(tmp_path: Path) -> None:
    assert step(decided(tmp_path, *slowed(0.06, fresh=0.002))).verdict is Verdict.PASS


def test_what_is_not_confirmed_yet_is_inconclusive(tmp_path: Path) -> None:
    pairs = [*made.entries(6, 0.06), *made.entries(2, 0.06, first=7, stage="confirm")]
    found = step(decided(tmp_path, *pairs))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason is not None
    assert "2 of" in found.reason


def test_a_step_that_looked_slower_and_was_not_measured_again_is_no_pass(tmp_path: Path) -> None:
    pairs = [*made.entries(6, 0.3), *made.entries(6, case=made.OTHER)]
    found = decided(tmp_path, *pairs, cases=[made.CASE, made.OTHER])
    assert step(found, made.OTHER).verdict is Verdict.PASS
    assert found.exit_code == 2
    faster = [*made.entries(6, -0.25), *made.entries(6, case=made.OTHER)]
    assert decided(tmp_path, *faster, cases=[made.CASE, made.OTHER]).exit_code == 0


def test_an_interrupted_check_is_no_pass(tmp_path: Path) -> None:
    end = EndFact(why="interrupted", elapsed_s=1.0, budget_s=600.0)
    assert decide(made.write(tmp_path, made.entries(6), [end])).exit_code == 2
    assert decide(made.write(tmp_path, slowed(0.05), [end])).exit_code == 1
    resumed: list[Fact] = [end, BeginFact(), EndFact(why="done", elapsed_s=1.0, budget_s=600.0)]
    assert decide(made.write(tmp_path, made.entries(6), resumed)).exit_code == 0


def test_a_row_of_a_family_that_is_not_complete_cannot_lend_its_place(tmp_path: Path) -> None:
    """Holm counts all flagged rows, also those that there was no time for."""
    alone = decided(tmp_path / "alone", *slowed(0.05))
    begun = made.entries(6, 0.05, case=made.OTHER)
    both = decided(tmp_path / "both", *slowed(0.05), *begun, cases=[made.CASE, made.OTHER])
    p_alone, p_both = step(alone).p, step(both).p
    assert p_alone is not None
    assert p_both is not None
    assert p_both > p_alone
    assert step(both, made.OTHER).verdict is Verdict.INCONCLUSIVE


def test_a_check_that_decides_nothing_could_not_tell(tmp_path: Path) -> None:
    assert decided(tmp_path, *made.entries(3)).exit_code == 2
    assert decided(tmp_path).exit_code == 2


def test_a_tiny_phase_is_told_of_without_a_verdict(tmp_path: Path) -> None:
    found = decided(tmp_path, *made.entries(6))
    (tiny,) = [each for each in found.findings if each.row.what == "optimizer"]
    assert tiny.verdict is None
    assert tiny.base_s == pytest.approx(0.00004)


def test_the_suite_has_a_row(tmp_path: Path) -> None:
    pairs = [*slowed(0.05), *slowed(0.05, case=made.OTHER)]
    found = decided(tmp_path, *pairs, cases=[made.CASE, made.OTHER])
    suite = next(each for each in found.findings if each.row.case == SUITE)
    assert suite.verdict is Verdict.REGRESSION


def test_a_slowdown_spread_over_cases_too_thin_for_each_is_the_suite_s(tmp_path: Path) -> None:
    cases = [f"case-{number}" for number in range(6)]
    pairs: list[PairLine] = []
    stages: tuple[tuple[Stage, int], ...] = (("screen", 1), ("confirm", 13))
    for number, case in enumerate(cases):
        for stage, first in stages:
            changes = made.noise(12, 0.03, seed=100 * number + first)
            pairs += [
                made.entry(first + i, {"backward": 0.035 + change}, case=case, stage=stage)
                for i, change in enumerate(changes)
            ]
    found = decided(tmp_path, *pairs, cases=cases)
    suite = next(each for each in found.findings if each.row.case == SUITE)
    assert suite.verdict is Verdict.REGRESSION
    assert suite.spread < 0.02


def test_what_head_alone_cannot_run_is_a_regression(tmp_path: Path) -> None:
    failing = (CaseReason(case=made.OTHER, reason="it raised ImportError"),)
    found = decided(tmp_path, *made.entries(6), failing=failing)
    assert found.exit_code == 1
    assert "fails in head: it raised ImportError" in found.facts[0].sentence


def test_what_base_cannot_run_is_not_compared(tmp_path: Path) -> None:
    new = (CaseReason(case=made.OTHER, reason="base: there is no file new.py"),)
    found = decided(tmp_path, *made.entries(6), unmeasured=new)
    assert found.exit_code == 0
    assert found.unmeasured[0].case == made.OTHER


def test_nothing_is_said_of_a_check_that_would_compare_head_with_head(tmp_path: Path) -> None:
    fatal = FatalFact(reason="base would run code that is not its own")
    found = decide(made.write(tmp_path, slowed(0.05), [fatal]))
    assert found.exit_code == 2
    mended = decide(made.write(tmp_path, slowed(0.05), [fatal, BeginFact()]))
    assert mended.exit_code == 1


def test_the_verdict_for_programs_is_plain_json(tmp_path: Path) -> None:
    for pairs in (made.entries(0), made.entries(3), slowed(0.05)):
        found = verdict_file(decided(tmp_path, *pairs))
        assert decode("verdict.json", encode(found), VerdictFile) == found
    assert found.exit_code == 1
    assert {row.verdict for row in found.rows} >= {Verdict.REGRESSION, Verdict.PASS, None}
