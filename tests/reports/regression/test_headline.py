import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from stepbench_reports.regression.decision import decide
from stepbench_reports.regression.headline import exit_line, headline
from stepbench_reports.schema.check import CaseReason, PairLine
from support import synthetic_check as made

SLOWED = [
    *made.entries(6, 0.05),
    *made.entries(24, 0.05, first=7, stage="confirm"),
]


def line_of(path: Path, pairs: list[PairLine], **more: Any) -> str:
    return headline(decide(made.write(path, pairs, **more)))


def test_the_verdict_is_a_line(tmp_path: Path) -> None:
    line = line_of(tmp_path, SLOWED)
    assert re.fullmatch(
        rf"Regression: {made.CASE} is [45]\.\d % \(\+[45]\.\d to \+[5]\.\d\) slower, 100 % of it "
        r"in forward\.",
        line,
    )


def test_without_a_regression_it_counts_cases_and_rows(tmp_path: Path) -> None:
    assert line_of(tmp_path, made.entries(6)) == "No regression: 1 case, 4 rows pass."


def test_an_improvement_is_reported(tmp_path: Path) -> None:
    faster = [*made.entries(6, -0.05), *made.entries(24, -0.05, first=7, stage="confirm")]
    assert "1 step faster (convnet-cpu-b32-w0-off-fp32 by 5." in line_of(tmp_path, faster)


def test_a_check_that_could_not_tell_says_why(tmp_path: Path) -> None:
    line = line_of(tmp_path, made.entries(3))
    assert re.fullmatch(
        rf"Could not tell: {made.CASE}: not decided, [-+]0\.\d %, 3 pairs are too few\.", line
    )


def test_a_check_that_could_compare_nothing_says_why(tmp_path: Path) -> None:
    new = (CaseReason(case=made.CASE, reason="base: there is no file x.py"),)
    assert "base: there is no file x.py" in line_of(tmp_path, [], cases=[], unmeasured=new)


def test_a_fact_alone_is_a_regression(tmp_path: Path) -> None:
    failing = (CaseReason(case=made.OTHER, reason="it raised ImportError: y"),)
    line = line_of(tmp_path, made.entries(6), failing=failing)
    assert line.startswith(f"Regression: {made.OTHER}: works in base and fails in head")


def test_only_what_could_not_be_told_is_named(tmp_path: Path) -> None:
    pairs = [*made.entries(6), *made.entries(3, case=made.OTHER)]
    line = line_of(tmp_path, pairs, cases=[made.CASE, made.OTHER])
    assert line.startswith(
        f"No regression in 1 of 2 cases, and could not tell: {made.OTHER}: not decided, "
    )


def test_many_undecided_cases_are_counted(tmp_path: Path) -> None:
    cases = [f"case-{number}" for number in range(5)]
    pairs = [pair for case in cases for pair in made.entries(3, case=case)]
    assert line_of(tmp_path, pairs, cases=cases).endswith("; and 2 more.")


def test_the_slowdown_that_would_have_been_seen_is_said(tmp_path: Path) -> None:
    decision = decide(made.write(tmp_path, made.entries(3)))
    findings = [replace(finding, detectable=0.06) for finding in decision.findings]
    line = headline(replace(decision, findings=tuple(findings)))
    assert line.endswith("3 pairs are too few, a slowdown of 6 % would have been seen.")
    assert headline(decision).endswith("3 pairs are too few.")  # of any size


def test_the_last_line_holds_the_exit_code(tmp_path: Path) -> None:
    def last(pairs: list[PairLine], **more: Any) -> str:
        return exit_line(decide(made.write(tmp_path, pairs, **more)))

    assert last(made.entries(6)) == "exit code 0: nothing is slower"
    undecided = "exit code 0: nothing is slower as far as could be told; with --strict, 3"
    assert last(made.entries(3)) == undecided
    assert last(made.entries(3), strict=True) == "exit code 3: could not tell (--strict)"
    assert last(SLOWED).startswith("exit code 1: ")
    assert last([]).startswith("exit code 2: ")
