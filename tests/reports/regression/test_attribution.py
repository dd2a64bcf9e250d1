from pathlib import Path

import pytest

from stepbench_reports.regression import cause
from stepbench_reports.regression.attribution import Attribution, attribute, grown_line
from stepbench_reports.regression.decision import decide
from stepbench_reports.schema.cause import CallerLine, ChangedLines
from stepbench_reports.schema.check import ChangesFact, Fact, OperatorsFact
from support import synthetic_check as made

SLOWED = [
    *made.entries(6, 0.05),
    *made.entries(24, 0.05, first=7, stage="confirm"),
]


def line(number: int, code: str, *, calls: float = 1.0, file: str = "net.py") -> CallerLine:
    return CallerLine(
        phase="forward", operator="aten::mm", file=file, line=number, function="forward",
        code=code, calls=calls, host_self_s=calls * 1e-4,
    )  # fmt: skip


def attributed(path: Path, grown_s: float, *changes: ChangedLines) -> Attribution:
    base, head = made.traces(grown_s=grown_s)
    called = OperatorsFact(
        case=head.case, side="head", breakdown=head.breakdown, lines=(line(42, "y = x @ x"),),
        files=("net.py", "other.py"),
    )  # fmt: skip
    facts: list[Fact] = [base, called, ChangesFact(lines=changes)]
    attribution = attribute(decide(made.write(path, SLOWED, facts)), made.CASE)
    assert attribution is not None
    return attribution


def test_the_line_with_more_calls_is_named_wherever_it_has_moved() -> None:
    base = [line(10, "a"), line(11, "b", calls=5)]
    head = [line(20, "a"), line(21, "b", calls=5), line(22, "c")]
    assert grown_line("forward", "aten::mm", base, head) == head[2]
    assert grown_line("forward", "aten::mm", base, head[:2]) is None
    assert grown_line("backward", "aten::mm", base, head) is None


def test_lines_that_are_repeated_count_together() -> None:
    base = [line(10, "x = conv(x)", calls=1), line(11, "x = conv(x)", calls=1), line(12, "c")]
    head = [*base, line(13, "x = conv(x)", calls=1)]
    assert grown_line("forward", "aten::mm", base, head) == head[3]
    assert grown_line("forward", "aten::mm", base, base) is None


def test_operators_add_up_to_the_traced_step(tmp_path: Path) -> None:
    attribution = attributed(tmp_path, 0.0002)
    assert attribution.traced_s == pytest.approx(0.0002)
    assert attribution.adds_up
    assert "+200  forward  aten::mm" in "\n".join(cause.lines(attribution))
    assert cause.balance(attribution).endswith("µs.")


@pytest.mark.parametrize(
    ("grown_s", "reason"),
    [
        (0.002, "makes each call of an operator longer"),
        (0.00005, "do not show all of it"),
        (-0.0001, "show the opposite; the pairs decide"),
    ],
)
def test_a_sum_that_differs_from_the_step_says_why(
    tmp_path: Path, grown_s: float, reason: str
) -> None:
    assert reason in cause.balance(attributed(tmp_path, grown_s))


def test_the_change_at_the_operator_s_line_is_the_first_suspect(tmp_path: Path) -> None:
    changes = [
        ChangedLines(file="unused.py", first=1, count=1),
        ChangedLines(file="other.py", first=7, count=0),
        ChangedLines(file="net.py", first=2, count=1),
        ChangedLines(file="net.py", first=41, count=2, code=("# more", "y = x @ x")),
    ]
    attribution = attributed(tmp_path, 0.0002, *changes)
    assert [change.first for change in attribution.suspects] == [41, 2, 7]
    text = "\n".join(cause.lines(attribution))
    assert "net.py:42  y = x @ x" in text
    assert "first suspect, changed: net.py:41-42\n    # more\n    y = x @ x" in text
    assert "changed: other.py, removed after line 7" in text
