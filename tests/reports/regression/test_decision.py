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
    FailedPairLine,
    FatalFact,
    PairLine,
    Stage,
)
from stepbench_reports.schema.end_reason import EndReason
from stepbench_reports.schema.files import decode, encode
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.verdict import CheckOutcome, Verdict, VerdictFile
from support import synthetic_check as made


def decided(path: Path, *pairs: PairLine, **more: Any) -> Decision:
    return decide(made.write(path, pairs, **more))


def step(decision: Decision, case: str = made.CASE) -> Finding:
    return next(f for f in decision.findings if f.row == Row(case, STEP))


def slowed(
    slower: float, *, phase: str = "forward", case: str = made.CASE, fresh: float | None = None
) -> list[PairLine]:
    """A whole check of one case."""
    fresh = slower if fresh is None else fresh
    return [
        *made.entries(6, slower, phase=phase, case=case),
        *made.entries(24, fresh, phase=phase, case=case, first=7, stage="confirm"),
    ]


def test_identical_sides_pass(tmp_path: Path) -> None:
    decision = decided(tmp_path, *made.entries(6))
    assert step(decision).verdict is Verdict.PASS
    assert decision.exit_code == 0
    assert decision.main_phase(made.CASE) is None


@pytest.mark.parametrize("phase", ["dataload", "forward", "backward", "optimizer"])
def test_a_slowdown_is_a_regression_and_its_phase_is_named(tmp_path: Path, phase: str) -> None:
    decision = decided(tmp_path, *slowed(0.05, phase=phase))
    assert decision.exit_code == 1
    assert step(decision).verdict is Verdict.REGRESSION
    assert step(decision).p is not None
    assert step(decision).change.low < 0.05 < step(decision).change.high + 0.003
    main_phase = decision.main_phase(made.CASE)
    assert main_phase is not None
    assert main_phase.row.what == phase


def test_a_speed_up_is_an_improvement_and_no_failure(tmp_path: Path) -> None:
    decision = decided(tmp_path, *slowed(-0.05))
    assert step(decision).verdict is Verdict.IMPROVEMENT
    assert decision.exit_code == 0
    assert decision.improvements[0].row.what in {STEP, "forward"}


def test_a_slowdown_that_fresh_pairs_do_not_confirm_is_no_regression(tmp_path: Path) -> None:
    decision = decided(tmp_path, *slowed(0.06, fresh=0.0))
    assert step(decision).verdict is Verdict.PASS
    assert decision.exit_code == 0


def test_the_screen_s_pairs_are_not_used_again(tmp_path: Path) -> None:
    finding = step(decided(tmp_path, *slowed(0.5, fresh=0.05)))
    assert finding.change.high < 0.1


def test_a_slowdown_within_the_margin_is_none(tmp_path: Path) -> None:
    assert step(decided(tmp_path, *slowed(0.06, fresh=0.002))).verdict is Verdict.PASS


def test_a_slowdown_not_confirmed_yet_is_inconclusive(tmp_path: Path) -> None:
    pairs = [*made.entries(6, 0.06), *made.entries(2, 0.06, first=7, stage="confirm")]
    finding = step(decided(tmp_path, *pairs))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.reason is not None
    assert "only 2 of" in finding.reason


def test_a_step_that_looked_slower_and_was_not_measured_again_is_undecided(tmp_path: Path) -> None:
    pairs = [*made.entries(6, 0.3), *made.entries(6, case=made.OTHER)]
    decision = decided(tmp_path, *pairs, cases=[made.CASE, made.OTHER])
    assert step(decision, made.OTHER).verdict is Verdict.PASS
    assert decision.outcome is CheckOutcome.UNDECIDED
    assert decision.exit_code == 0
    faster = [*made.entries(6, -0.25), *made.entries(6, case=made.OTHER)]
    assert decided(tmp_path, *faster, cases=[made.CASE, made.OTHER]).exit_code == 0


def test_an_interrupted_check_is_no_pass(tmp_path: Path) -> None:
    end = EndFact(why=EndReason.INTERRUPTED, elapsed_s=1.0, budget_s=600.0)
    assert decide(made.write(tmp_path, made.entries(6), [end])).exit_code == 2
    assert decide(made.write(tmp_path, slowed(0.05), [end])).exit_code == 1
    resumed: list[Fact] = [
        end,
        BeginFact(),
        EndFact(why=EndReason.DONE, elapsed_s=1.0, budget_s=600.0),
    ]
    assert decide(made.write(tmp_path, made.entries(6), resumed)).exit_code == 0


def test_a_row_with_too_few_pairs_counts_in_its_family(tmp_path: Path) -> None:
    """Holm's method counts all flagged rows, also those left unconfirmed for lack of time."""
    alone = decided(tmp_path / "alone", *slowed(0.05))
    begun = made.entries(6, 0.05, case=made.OTHER)
    both = decided(tmp_path / "both", *slowed(0.05), *begun, cases=[made.CASE, made.OTHER])
    p_alone, p_both = step(alone).p, step(both).p
    assert p_alone is not None
    assert p_both is not None
    assert p_both > p_alone
    assert step(both, made.OTHER).verdict is Verdict.INCONCLUSIVE


def test_a_check_that_decides_nothing_fails_only_if_strict(
    tmp_path: Path,
) -> None:
    undecided = decided(tmp_path, *made.entries(3))
    assert (undecided.outcome, undecided.exit_code) == (CheckOutcome.UNDECIDED, 0)
    assert decided(tmp_path, *made.entries(3), strict=True).exit_code == 3
    nothing = decided(tmp_path)
    assert (nothing.outcome, nothing.exit_code) == (CheckOutcome.NOT_COMPARED, 2)


def test_pairs_that_all_fail_compare_nothing(tmp_path: Path) -> None:
    failed = made.failed("base", "it raised ValueError")
    decision = decide(made.write(tmp_path, [failed, failed]))
    assert decision.exit_code == 2


def test_a_check_whose_cases_are_all_lost_compares_nothing(tmp_path: Path) -> None:
    failed = made.failed("base", "it raised ValueError")
    decision = decide(made.write(tmp_path, [*made.entries(1), failed, failed]))
    assert decision.exit_code == 2


def test_a_phase_that_looked_slower_and_was_not_measured_again_is_undecided(tmp_path: Path) -> None:
    changes = {"forward": 0.06, "backward": -0.06}
    pairs = [
        made.entry(number, {phase: share + noise for phase, share in changes.items()})
        for number, noise in enumerate(made.noise(6, 0.002), start=1)
    ]
    decision = decided(tmp_path, *pairs, strict=True)
    assert step(decision).verdict is Verdict.PASS
    assert [finding.row.what for finding in decision.undecided] == ["forward"]
    assert decision.exit_code == 3


def test_a_case_whose_pairs_are_lost_is_undecided(tmp_path: Path) -> None:
    failed = made.failed("base", "it raised ValueError")
    pairs: list[PairLine | FailedPairLine] = [failed, failed, *made.entries(6, case=made.OTHER)]
    decision = decide(made.write(tmp_path, pairs, cases=[made.CASE, made.OTHER]))
    assert [case.case for case in decision.lost_cases] == [made.CASE]
    assert decision.outcome is CheckOutcome.UNDECIDED


@pytest.mark.parametrize("pairs", [3, 9], ids=["so far", "too many to go on"])
def test_a_case_whose_pairs_are_all_discarded_shows_what_was_measured(
    tmp_path: Path, pairs: int
) -> None:
    decision = decided(tmp_path, *made.entries(pairs, 0.2, interference=True))
    (finding,) = decision.findings
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.change.value == pytest.approx(0.2, abs=0.03)
    assert finding.detectable is None  # pairs that do not count decide nothing
    assert "interference" in (finding.reason or "") or "other processes" in (finding.reason or "")
    assert decision.unmeasured == ()
    assert decision.outcome is CheckOutcome.UNDECIDED


def test_strict_changes_nothing_that_was_decided(tmp_path: Path) -> None:
    assert decided(tmp_path, *made.entries(6), strict=True).exit_code == 0
    assert decided(tmp_path, *slowed(0.05), strict=True).exit_code == 1
    assert decided(tmp_path, strict=True).exit_code == 2


def test_a_tiny_phase_is_reported_without_a_verdict(tmp_path: Path) -> None:
    decision = decided(tmp_path, *made.entries(6))
    (tiny,) = [f for f in decision.findings if f.row.what == "optimizer"]
    assert tiny.verdict is None
    assert tiny.base_s == pytest.approx(0.00004)


def test_the_suite_has_a_row(tmp_path: Path) -> None:
    pairs = [*slowed(0.05), *slowed(0.05, case=made.OTHER)]
    decision = decided(tmp_path, *pairs, cases=[made.CASE, made.OTHER])
    suite = next(f for f in decision.findings if f.row.case == SUITE)
    assert suite.verdict is Verdict.REGRESSION


def test_a_slowdown_too_small_in_each_case_is_found_in_the_suite(tmp_path: Path) -> None:
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
    decision = decided(tmp_path, *pairs, cases=cases)
    suite = next(f for f in decision.findings if f.row.case == SUITE)
    assert suite.verdict is Verdict.REGRESSION
    assert suite.spread < 0.02


def test_a_case_that_only_head_cannot_run_is_a_regression(tmp_path: Path) -> None:
    failing = (CaseReason(case=made.OTHER, reason="it raised ImportError"),)
    decision = decided(tmp_path, *made.entries(6), failing=failing)
    assert decision.exit_code == 1
    assert "fails in head: it raised ImportError" in decision.facts[0].sentence


def test_a_case_that_base_cannot_run_is_not_compared(tmp_path: Path) -> None:
    new = (CaseReason(case=made.OTHER, reason="base: there is no file new.py"),)
    decision = decided(tmp_path, *made.entries(6), unmeasured=new)
    assert decision.exit_code == 0
    assert decision.unmeasured[0].case == made.OTHER


def test_a_check_that_would_compare_head_with_head_has_no_verdict(tmp_path: Path) -> None:
    fatal = FatalFact(reason="base would run code that is not its own")
    decision = decide(made.write(tmp_path, slowed(0.05), [fatal]))
    assert decision.exit_code == 2
    resumed = decide(made.write(tmp_path, slowed(0.05), [fatal, BeginFact()]))
    assert resumed.exit_code == 1


def test_the_verdict_for_programs_is_plain_json(tmp_path: Path) -> None:
    for pairs in (made.entries(0), made.entries(3), slowed(0.05)):
        file = verdict_file(decided(tmp_path, *pairs), {})
        assert decode("verdict.json", encode(file), VerdictFile) == file
    assert file.exit_code == 1
    assert {row.verdict for row in file.rows} >= {Verdict.REGRESSION, Verdict.PASS, None}
