import io
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from stepbench_reports import regression
from stepbench_reports.regression.decision import decide
from stepbench_reports.regression.headline import headline
from stepbench_reports.schema.check import CaseReason, EndFact, ParityFact
from stepbench_reports.schema.end_reason import EndReason
from support import synthetic_check as made

SLOWED = [
    *made.entries(6, 0.05),
    *made.entries(24, 0.05, first=7, stage="confirm"),
]


def shown(path: Path) -> str:
    out = io.StringIO()
    regression.show(decide(regression.load(path)), Console(file=out, width=120))
    return out.getvalue()


def test_all_files_are_written_and_say_the_same(tmp_path: Path) -> None:
    made.write(tmp_path, SLOWED, made.traces())
    decision = regression.write(tmp_path)
    assert decision.exit_code == 1
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    report = (tmp_path / "report.md").read_text()
    suite = ET.parse(tmp_path / "junit.xml").getroot().find("testsuite")  # noqa: S314  # our own
    assert verdict["exit_code"] == 1
    assert headline(decision).replace("_", r"\_") in report
    assert suite is not None
    failed = suite.findall("testcase[failure]")
    regressions = [row for row in verdict["rows"] if row["verdict"] == "regression"]
    assert len(failed) == len(regressions) == int(suite.get("failures") or 0)


def test_the_report_is_markdown_with_the_table_first(tmp_path: Path) -> None:
    made.write(tmp_path, SLOWED, made.traces(), notes=("pyproject.toml differs | so",))
    regression.write(tmp_path)
    report = (tmp_path / "report.md").read_text()
    tables = [t for t in MarkdownIt().enable("table").parse(report) if t.type == "table_open"]
    assert len(tables) == 1  # all rows
    assert report.index("```text") < report.index("<details>")
    assert report.splitlines()[0].startswith("### ❌ stepbench: Regression")
    assert "forward  aten::mm" in report
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
    assert "1,000  1,200  +200  forward  aten::mm" in text
    assert text.strip().splitlines()[0].startswith("Regression: ")


@pytest.mark.parametrize(
    ("why", "caveat"),
    [
        (
            EndReason.BUDGET,
            "The time limit was reached (600 s): 4 rows not decided. Continue with --resume",
        ),
        (
            EndReason.EARLY,
            "The check ended after 600 of 600 s, since no row could be decided in the time left",
        ),
        (
            EndReason.INTERRUPTED,
            "The check was interrupted: 4 rows not decided. Continue with --resume.",
        ),
    ],
)
def test_an_early_end_is_reported(tmp_path: Path, why: EndReason, caveat: str) -> None:
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


def test_pairs_whose_sides_were_not_alive_at_once_are_a_caveat(tmp_path: Path) -> None:
    made.write(tmp_path, made.entries(6, together=False))
    assert "base and head were alive one at a time" in " ".join(shown(tmp_path).split())


def test_damaged_lines_are_caveats(tmp_path: Path) -> None:
    made.write(tmp_path, made.entries(6))
    with (tmp_path / "facts.jsonl").open("a") as file:
        file.write('{"kind": "fatal"}\n')
    regression.write(tmp_path)
    problem = "facts.jsonl, line 1: top level: object missing required field `reason`"
    assert problem in " ".join(shown(tmp_path).split())
    assert problem in (tmp_path / "report.md").read_text().replace("\\", "")
