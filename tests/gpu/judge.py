"""Judges stepbench's figures of a GPU by figures by hand, criterion by criterion.

Usage: python judge.py DIRECTORY. The directory is the output of check.py: a run's directory for
each stage, the directory of a regression check, and reference.json. Prints a table in Markdown.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from criteria import CRITERIA, Criterion, Value
from record import Missing, Record

PASS, FAIL, NOT_MEASURED = "pass", "**FAIL**", "**not measured**"


@dataclass(frozen=True)
class Row:
    """A criterion's row in the table; `reason` says why a figure was not measured."""

    name: str
    figure: str
    by_hand: str
    bound: str
    result: str
    reason: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """The row's cells."""
        result = f"{self.result}: {self.reason}" if self.reason else self.result
        cells = (self.name, self.figure, self.by_hand, self.bound, result)
        return tuple(" ".join(cell.replace("|", "/").split()) for cell in cells)


def judge(criterion: Criterion, record: Record) -> Row:
    """Judges a criterion; a figure that is missing counts as not measured."""
    figure = by_hand_text = ""
    try:
        value = _present(criterion.figure(record), "stepbench has no such figure")
        figure = criterion.show(value)
        by_hand = _present(criterion.by_hand(record), "there is no figure by hand")
        by_hand_text = criterion.show(by_hand) if by_hand != "" else ""
        result, reason = (PASS if criterion.bound.holds(value, by_hand) else FAIL), ""
    except Missing as missing:
        result, reason = NOT_MEASURED, str(missing)
    except Exception as error:  # noqa: BLE001  # whatever is wrong with a figure, the others count
        result, reason = NOT_MEASURED, f"cannot be read: {error!r}"
    return Row(criterion.name, figure, by_hand_text, criterion.bound.text, result, reason)


def _present(value: Value, reason: str) -> Value:
    if isinstance(value, float) and not math.isfinite(value):
        raise Missing(reason)
    return value


def judge_all(directory: Path) -> list[Row]:
    """The row of every criterion."""
    record = Record(directory)
    return [judge(criterion, record) for criterion in CRITERIA]


def table(rows: Sequence[Row]) -> str:
    """The table in Markdown."""
    head = ("criterion", "stepbench", "by hand", "bound", "result")
    rule = ("---", "---:", "---:", "---", "---")
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *(r.cells for r in rows)))


def exit_code(rows: Sequence[Row]) -> int:
    """0 if every criterion passes, else 1."""
    return int(any(row.result != PASS for row in rows))


if __name__ == "__main__":
    JUDGED = judge_all(Path(sys.argv[1]))
    print(table(JUDGED))
    sys.exit(exit_code(JUDGED))
