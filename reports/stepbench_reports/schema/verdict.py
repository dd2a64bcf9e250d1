"""`verdict.json`: the verdict of a check."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, TypeAlias

from stepbench_reports.schema.check import SCHEMA, CaseReason
from stepbench_reports.schema.record import Count, Record


class Verdict(StrEnum):
    """A verdict on a row or a difference."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    PASS = "pass"  # noqa: S105  # not a password
    INCONCLUSIVE = "inconclusive"


class CheckOutcome(StrEnum):
    """The outcome of a check."""

    PASS = "pass"  # noqa: S105  # not a password
    REGRESSION = "regression"
    UNDECIDED = "undecided"
    NOT_COMPARED = "not compared"


ExitCode: TypeAlias = Literal[0, 1, 2, 3]
EXIT_CODES: Mapping[CheckOutcome, ExitCode] = {
    CheckOutcome.PASS: 0,
    CheckOutcome.REGRESSION: 1,
    CheckOutcome.NOT_COMPARED: 2,
    CheckOutcome.UNDECIDED: 0,
}
STRICT_UNDECIDED: ExitCode = 3
"""The exit code of `CheckOutcome.UNDECIDED` with `--strict`."""


class VerdictRow(Record, frozen=True, kw_only=True):
    """A row of the verdict: a case's step, one of its phases, or the geometric mean of all cases.

    Attributes:
        case: The case's id, or `suite` for the geometric mean of all cases.
        row: `step`, or the name of a phase.
        verdict: The verdict; `None` for a phase that is too small for one.
        change: Head minus base, as a share of the step; `None` if no pair gives a change.
        low: The lower end of the 95 % confidence interval of `change`; `None` if there are too few
            pairs.
        high: The upper end of the 95 % confidence interval of `change`; `None` if there are too few
            pairs.
        spread: The standard deviation of `change` over the pairs, as a share of the step; `None` if
            there are too few pairs.
        pairs: The number of pairs on which the estimate is based.
        p: The p-value after Holm's correction, for a row that was confirmed; else `None`.
        base_s: Base's median time per step, seconds; `None` for the suite.
        head_s: Head's median time per step, seconds; `None` for the suite.
        reason: The reason for an inconclusive verdict.
        detectable: The smallest slowdown that the pairs of an inconclusive row would have shown,
            as a share of the step; else `None`.
        follows: For a slower phase whose growth is small beside that of another phase: that phase.
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
    detectable: float | None = None
    follows: str | None = None


class Difference(Record, frozen=True, kw_only=True):
    """A difference between the sides that noise cannot explain.

    Attributes:
        case: The case's id.
        what: The subject of the difference, in a word or two.
        verdict: `regression` or `improvement`.
        sentence: A sentence that describes the difference.
    """

    case: str
    what: str
    verdict: Verdict
    sentence: str


class VerdictFile(Record, frozen=True, kw_only=True):
    """`verdict.json`: the verdict of a check, for programs.

    Attributes:
        schema: The version of the format.
        exit_code: 0 if nothing is slower or the check could not tell, 1 for a regression, 2 if the
            check compared nothing, was interrupted or failed, 3 if it could not tell with
            `--strict`.
        outcome: `pass`; `regression`; `undecided` if nothing is slower and some cases could not be
            decided; `not compared` with exit code 2.
        fatal: The reason for which the check could compare nothing; else `None`.
        rows: The rows; the last row is that of the suite.
        facts: The differences that noise cannot explain.
        unmeasured: The cases that could not be compared.
    """

    schema: int = SCHEMA
    exit_code: ExitCode
    outcome: CheckOutcome
    fatal: str | None = None
    rows: tuple[VerdictRow, ...]
    facts: tuple[Difference, ...]
    unmeasured: tuple[CaseReason, ...]
