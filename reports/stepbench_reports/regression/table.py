"""Lays the rows of a check out as lines of text, the same on a terminal and in a pull request.

Each case's id has a line of its own, so that it is never broken, and a line fits into 80 columns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stepbench_reports.analysis.stats import point
from stepbench_reports.regression import culprit, words
from stepbench_reports.regression.decision import Decision, Finding
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.verdict import Verdict
from stepbench_reports.wording import quantity

HEADS = ("", "base, ms", "head, ms", "change, of the step", "verdict")
_DIFFERING = {Verdict.REGRESSION, Verdict.IMPROVEMENT}


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        text: The text.
        finding: The finding that the line shows; `None` for the heads, and for a case's id.
    """

    text: str
    finding: Finding | None = None


def shown(decision: Decision) -> list[Finding]:
    """The findings of the table: all steps, and the phases of cases in which something differs."""
    differing = {f.row.case for f in decision.findings if f.verdict in _DIFFERING}
    return [f for f in decision.findings if f.row.what == STEP or f.row.case in differing]


def lines(decision: Decision) -> list[Line]:
    """The table: the heads, and each case's id followed by its rows."""
    findings = shown(decision)
    rows = aligned([HEADS, *(_cells(decision, finding) for finding in findings)], "lrrrl")
    result, case = [Line(rows[0])], None
    for finding, text in zip(findings, rows[1:], strict=True):
        if finding.row.case != case:
            case = finding.row.case
            result.append(Line(words.name(case)))
        result.append(Line(text, finding))
    return result


def _cells(decision: Decision, finding: Finding) -> tuple[str, ...]:
    return (
        f"  {finding.row.what}",
        quantity.milliseconds(point(finding.base_s)),
        quantity.milliseconds(point(finding.head_s)),
        quantity.percent_change(finding.change),
        verdict(decision, finding),
    )


def verdict(decision: Decision, finding: Finding) -> str:
    """The verdict on a finding in a word or two."""
    phase = culprit.follows(decision, finding)
    return words.SIGNS[finding.verdict] if phase is None else f"follows {phase}"


def not_decided(decision: Decision) -> Iterator[str]:
    """A sentence for each row of the table that is not decided: the reason."""
    for finding in shown(decision):
        why = words.why_not_decided(finding)
        if finding.verdict is Verdict.INCONCLUSIVE and why:
            yield f"{words.row_name(finding)}: not decided: {why}"


def aligned(rows: Sequence[Sequence[str]], alignment: str) -> list[str]:
    """Pads the cells of each column to one width, and joins them by two spaces.

    Args:
        rows: The rows.
        alignment: A letter for each column: `l` for left, `r` for right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if align == "l" else cell.rjust(width)
            for cell, width, align in zip(row, widths, alignment, strict=True)
        ).rstrip()
        for row in rows
    ]
