import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from stepbench_reports import regression
from stepbench_reports.regression import words
from stepbench_reports.regression.decision import decide
from stepbench_reports.schema.check import CaseReason, EndFact, PairLine, ParityFact
from support import synthetic_check as made

SLOWED = [
    *made.entries(6, 0.05),
    *made.entries(24, 0.05, first=7, stage="confirm"),
]


def headline(path: Path, pairs: list[PairLine], **more: Any) -> str:
    return words.headline(decide(made.write(path, pairs, **more)))


def shown(path: Path) -> str:
    out = io.StringIO()
    regression.show(decide(regression.load(path)), Console(file=out, width=120))
    return out.getvalue()


def test_the_verdict_is_a_line(tmp_path: Path) -> None:
    line = headline(tmp_path, SLOWED)
    assert re.fullmatch(
        rf"Regression: {made.CASE} is [45]\.\d % \(\+[45]\.\d to \+[5]\.\d\) slower, most of it in "
        r"forward\.",
        line,
    )


def test_without_a_regression_it_counts_cases_and_rows(tmp_path: Path) -> None:
    assert headline(tmp_path, made.entries(6)) == "No regression: 1 case, 4 rows pass."


def test_an_improvement_is_reported(tmp_path: Path) -> None:
    faster = [*made.entries(6, -0.05), *made.entries(24, -0.05, first=7, stage="confirm")]
    assert "1 step faster (convnet-cpu-b32-w0-off-fp32 by 5." in headline(tmp_path, faster)


def test_a_check_that_could_not_tell_says_why(tmp_path: Path) -> None:
    assert "not decided after 3 pairs" in headline(tmp_path, made.entries(3))
    new = (CaseReason(case=made.CASE, reason="base: there is no file x.py"),)
    assert "base: there is no file x.py" in headline(tmp_path, [], cases=[], unmeasured=new)


def test_a_fact_alone_is_a_regression(tmp_path: Path) -> None:
    failing = (CaseReason(case=made.OTHER, reason="it raised ImportError: y"),)
    line = headline(tmp_path, made.entries(6), failing=failing)
    assert line.startswith(f"Regression: {made.OTHER}: works in base and fails in head")


def test_all_files_are_written_and_say_the_same(tmp_path: Path) -> None:
    made.write(tmp_path, SLOWED, made.traces())
    decision = regression.write(tmp_path)
    assert decision.exit_code == 1
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    report = (tmp_path / "report.md").read_text()
    suite = ET.parse(tmp_path / "junit.xml").getroot().find("testsuite")  # noqa: S314  # our own
    assert verdict["exit_code"] == 1
    assert words.headline(decision).replace("_", r"\_") in report
    assert suite is not None
    failed = suite.findall("testcase[failure]")
    regressions = [row for row in verdict["rows"] if row["verdict"] == "regression"]
    assert len(failed) == len(regressions) == int(suite.get("failures") or 0)


def test_the_report_is_markdown_with_the_table_first(tmp_path: Path) -> None:
    made.write(tmp_path, SLOWED, made.traces(), notes=("pyproject.toml differs | so",))
    regression.write(tmp_path)
    report = (tmp_path / "report.md").read_text()
    tables = [t for t in MarkdownIt().enable("table").parse(report) if t.type == "table_open"]
    assert len(tables) == 3  # rows, operators, all rows
    assert report.splitlines()[0].startswith("### ❌ stepbench: Regression")
    assert "↳ forward" in report
    assert "`aten::mm`" in report
    assert "aten::relu" not in report  # it has not grown
    assert r"differs \| so" in report


def test_text_of_others_is_escaped(tmp_path: Path) -> None:
    failing = (CaseReason(case="<script>|`", reason="<img src=x> | `y`\n\n# heading"),)
    made.write(tmp_path, made.entries(6), failing=failing)
    regression.write(tmp_path)
    report = (tmp_path / "report.md").read_text()
    assert "<script>" not in report
    assert "\n# heading" not in report
    junit = (tmp_path / "junit.xml").read_text()
    assert "<script>" not in junit
    assert ET.fromstring(junit) is not None  # noqa: S314  # our own


def test_the_terminal_shows_the_verdict_first_then_rows_and_operators(tmp_path: Path) -> None:
    made.write(tmp_path, SLOWED, made.traces())
    text = shown(tmp_path)
    assert "aten::mm  1,000 to 1,200 (+200)" in text
    assert text.strip().splitlines()[0].startswith("Regression: ")


@pytest.mark.parametrize(
    ("why", "caveat"),
    [
        (
            "budget",
            "The time limit was reached (600 s): 4 rows inconclusive. Continue with --resume",
        ),
        ("interrupted", "The check was interrupted: 4 rows inconclusive. Continue with --resume."),
    ],
)
def test_an_early_end_is_reported(tmp_path: Path, why: str, caveat: str) -> None:
    end = EndFact(why=why, elapsed_s=600.0, budget_s=600.0)
    made.write(tmp_path, made.entries(3), [end])
    assert caveat in shown(tmp_path)


def test_colours_in_a_reason_leave_junit_readable(tmp_path: Path) -> None:
    failing = (CaseReason(case=made.OTHER, reason="\x1b[31merror\x1b[0m: no"),)
    made.write(tmp_path, made.entries(6), failing=failing)
    regression.write(tmp_path)
    assert ET.parse(tmp_path / "junit.xml").getroot() is not None  # noqa: S314  # our own


def test_unknown_parity_is_reported(tmp_path: Path) -> None:
    fact = ParityFact(cases=(made.CASE,), head="undecided", reason="it draws")
    made.write(tmp_path, made.entries(6), [fact])
    assert "parity is unknown: it draws" in shown(tmp_path)


def test_discarded_pairs_are_reported(tmp_path: Path) -> None:
    made.write(tmp_path, [*made.entries(6), *made.entries(1, first=7, interference=True)])
    assert "1 of 7 pairs discarded" in shown(tmp_path)


def test_damaged_lines_are_caveats(tmp_path: Path) -> None:
    made.write(tmp_path, made.entries(6))
    with (tmp_path / "facts.jsonl").open("a") as file:
        file.write('{"kind": "fatal"}\n')
    regression.write(tmp_path)
    problem = "facts.jsonl, line 1: top level: object missing required field `reason`"
    assert problem in " ".join(shown(tmp_path).split())
    assert problem in (tmp_path / "report.md").read_text().replace("\\", "")
