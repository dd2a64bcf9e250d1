import io
from pathlib import Path

from rich.console import Console
from rich.text import Text

from stepbench_reports import regression
from stepbench_reports.regression import markdown, table
from stepbench_reports.regression.decision import decide
from support import synthetic_check as made

LONG = "gpt-cuda-b16-w4-reduce-overhead-bf16-acc8-ckpt"
PAIRS = [
    *made.entries(6, 2.0),
    *made.entries(24, 2.0, first=7, stage="confirm"),
    *made.entries(6, case=made.OTHER),
    *made.entries(3, case=LONG),
]
CASES = (made.CASE, made.OTHER, LONG)


def test_a_line_fits_into_80_columns_and_no_id_is_broken(tmp_path: Path) -> None:
    lines = table.lines(decide(made.write(tmp_path, PAIRS, cases=CASES)))
    texts = [line.text for line in lines]
    assert max(map(len, texts)) <= 80
    assert set(CASES) <= set(texts)


def test_phases_are_shown_where_something_differs(tmp_path: Path) -> None:
    shown = table.shown(decide(made.write(tmp_path, PAIRS, cases=CASES)))
    phases = {finding.row.case for finding in shown if finding.row.what != "step"}
    assert phases == {made.CASE}


def test_terminal_and_pull_request_show_the_same_table(tmp_path: Path) -> None:
    decision = decide(made.write(tmp_path, PAIRS, cases=CASES))
    out = io.StringIO()
    regression.show(decision, Console(file=out, width=80))
    for line in table.lines(decision):
        assert line.text in out.getvalue().splitlines()
        assert line.text in markdown.render(decision).splitlines()


def test_a_terminal_of_80_columns_breaks_lines_between_words(tmp_path: Path) -> None:
    decision = decide(made.write(tmp_path, PAIRS, cases=CASES))
    wide, narrow = io.StringIO(), io.StringIO()
    regression.show(decision, Console(file=wide, width=80))
    regression.show(decision, Console(file=narrow, width=80, force_terminal=True, no_color=True))
    lines = Text.from_ansi(narrow.getvalue()).plain.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert [w for line in lines for w in line.split()] == wide.getvalue().split()


def test_rows_without_a_decision_say_why(tmp_path: Path) -> None:
    sentences = list(table.not_decided(decide(made.write(tmp_path, PAIRS, cases=CASES))))
    (sentence,) = [text for text in sentences if text.startswith(LONG)]
    assert sentence.startswith(f"{LONG}: not decided: 3 pairs are too few")
