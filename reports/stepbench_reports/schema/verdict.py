"""`verdict.json`: what a check came to."""

from enum import StrEnum
from typing import Literal

from stepbench_reports.schema.check import SCHEMA, CaseReason
from stepbench_reports.schema.record import Count, Record


class Verdict(StrEnum):
    """A verdict on a row or a fact."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    PASS = "pass"  # noqa: S105  # no password
    INCONCLUSIVE = "inconclusive"


class VerdictRow(Record, frozen=True, kw_only=True):
    """A row of the verdict: the step of a case, one of its phases, or the mean of all cases.

    Attributes:
        case: The case's id, or `suite`.
        row: `step` or a phase.
        verdict: The verdict; `None` for a phase too small to be decided about.
        change: Head less base as a share of the step; `None` where no pair tells it.
        low: The lower end of its 95 % interval; `None` where there are too few pairs for one.
        high: The upper end.
        spread: The standard deviation of a pair's change, a share of the step; `None` where there
            are too few pairs.
        pairs: The pairs that the estimate is from.
        p: Holm's p-value, of a row that was confirmed.
        base_s: Base's seconds; `None` for the suite.
        head_s: Head's seconds; `None` for the suite.
        reason: Why the row is inconclusive, where it is.
    """

    case: str
    row: str
    verdict: Verdict | None
    change: float | None
    low: float | None
    high: float | None
    spread: float | None
    pairs: Count
    p: float | None
    base_s: float | None
    head_s: float | None
    reason: str | None = None


class Difference(Record, frozen=True, kw_only=True):
    """A difference between the sides that is not a matter of noise.

    Attributes:
        case: The case's id.
        what: What it is about, in a word or two.
        verdict: `regression` or `improvement`.
        sentence: What differs.
    """

    case: str
    what: str
    verdict: Verdict
    sentence: str


class VerdictFile(Record, frozen=True, kw_only=True):
    """`verdict.json`: the verdict, for programs.

    Attributes:
        schema: The version of the format.
        exit_code: 0 for no regression, 1 for one, 2 where the check could not tell.
        fatal: Why the check as a whole says nothing; `None` where it does.
        rows: The rows, the suite's last.
        facts: The differences that are not a matter of noise.
        unmeasured: The cases that could not be compared.
    """

    schema: int = SCHEMA
    exit_code: Literal[0, 1, 2]
    fatal: str | None = None
    rows: tuple[VerdictRow, ...]
    facts: tuple[Difference, ...]
    unmeasured: tuple[CaseReason, ...]
