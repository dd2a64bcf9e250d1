"""Decides the verdict on each row, on each fact, and on the check.

`docs/regression.md` describes the rules and the reasons for them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from stepbench_reports.analysis.stats import UNKNOWN, Interval, finite_or_none
from stepbench_reports.regression import facts
from stepbench_reports.regression.pair_statistics import (
    ALPHA,
    Screened,
    centre,
    holm,
    p_faster,
    p_slower,
    spread,
)
from stepbench_reports.regression.records import Check
from stepbench_reports.regression.screening import MIN_SHARE, SUITE, Row, Screening, phases, share
from stepbench_reports.schema.check import CONFIRM, SCREEN, CaseReason, EndFact, FatalFact, Stage
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.verdict import Difference, Verdict, VerdictFile, VerdictRow

PASS: Final = 0
REGRESSION: Final = 1
NOT_MEASURED: Final = 2
"""Exit codes."""


@dataclass(frozen=True)
class Finding:
    """A row's verdict, with the figures behind the verdict.

    Attributes:
        row: The row.
        verdict: The verdict; `None` for a phase that is too small for one.
        change: The Hodges-Lehmann estimate of head less base with its 95 % interval, a share of the
            step.
        spread: The standard deviation of a pair's change, a share of the step.
        pairs: The number of pairs behind the estimate.
        p: Holm's p-value of a row that was confirmed; else `None`.
        base_s: Base's median time per step, seconds; NaN for the suite.
        head_s: Head's median time per step, seconds; NaN for the suite.
        reason: The reason for an inconclusive verdict; else `None`.
        unconfirmed: True if the row looked slower, and there was no time to confirm that.
    """

    row: Row
    verdict: Verdict | None
    change: Interval
    spread: float
    pairs: int
    p: float | None
    base_s: float
    head_s: float
    reason: str | None = None
    unconfirmed: bool = False


@dataclass(frozen=True)
class Decision:
    """The outcome of a check.

    Attributes:
        check: The check.
        findings: A finding for each row; the suite's comes last.
        facts: Differences that noise cannot explain.
        unmeasured: Cases that could not be compared.
        fatal: The reason why the check could compare nothing; else `None`.
    """

    check: Check
    findings: tuple[Finding, ...]
    facts: tuple[Difference, ...]
    unmeasured: tuple[CaseReason, ...]
    fatal: str | None

    @property
    def regressions(self) -> list[Finding]:
        """Rows that are slower, the worst first."""
        slower = [f for f in self.findings if f.verdict is Verdict.REGRESSION]
        return sorted(slower, key=lambda f: -f.change.value)

    @property
    def improvements(self) -> list[Finding]:
        """Rows that are faster, the best first."""
        faster = [f for f in self.findings if f.verdict is Verdict.IMPROVEMENT]
        return sorted(faster, key=lambda f: f.change.value)

    @property
    def inconclusive(self) -> list[Finding]:
        """Rows with an inconclusive verdict."""
        return [f for f in self.findings if f.verdict is Verdict.INCONCLUSIVE]

    @property
    def exit_code(self) -> Literal[0, 1, 2]:
        """The exit code: 0 for no regression, 1 for a regression, 2 if the check could not tell.

        A check cannot tell if it compared nothing, was cut short, or decided no step.
        """
        if self.fatal is not None:
            return NOT_MEASURED
        if self.regressions or any(fact.verdict is Verdict.REGRESSION for fact in self.facts):
            return REGRESSION
        if self.cut_short:
            return NOT_MEASURED
        steps = [f for f in self.findings if f.row.what == STEP]
        decided = any(f.verdict is not Verdict.INCONCLUSIVE for f in steps)
        return PASS if decided else NOT_MEASURED

    @property
    def cut_short(self) -> bool:
        """True if Ctrl-C ended the check, or a step that looked slower was left unconfirmed."""
        interrupted = any(
            fact.why == "interrupted" for fact in self.check.facts_since_begin(EndFact)
        )
        return interrupted or any(f.row.what == STEP and f.unconfirmed for f in self.findings)

    def main_phase(self, case: str) -> Finding | None:
        """The phase of a case that grew most; `None` if no row of the case is a regression."""
        findings = [f for f in self.findings if f.row.case == case]
        if not any(f.verdict is Verdict.REGRESSION for f in findings):
            return None
        of_phases = [f for f in findings if f.row.what != STEP]
        return max(of_phases, key=lambda f: f.change.value, default=None)


def decide(check: Check) -> Decision:
    """Decides a check from its records."""
    screening = Screening(check)
    excluded = [(case, screening.exclusion_reason(case)) for case in check.cases]
    failing = facts.failing(check)
    failing_cases = {fact.case for fact in failing}
    unmeasured = [*check.spec.unmeasured]
    unmeasured += [
        CaseReason(case=case, reason=reason)
        for case, reason in excluded
        if reason and case not in failing_cases
    ]
    fatal = next((fact.reason for fact in check.facts_since_begin(FatalFact)), None)
    return Decision(
        check,
        tuple(_findings(screening)),
        (*failing, *facts.exact(check, screening.cases), *facts.grown(check, screening.cases)),
        tuple(unmeasured),
        fatal,
    )


def _findings(screening: Screening) -> Iterator[Finding]:
    p_values = _p_values(screening)
    for case in screening.cases:
        for row in [row for row in screening.rows if row.case == case]:
            yield _finding(screening, row, p_values.get(row))
        yield from _small(screening, case)
    for row in screening.rows:
        if row.case == SUITE:
            yield _finding(screening, row, p_values.get(row))


def _p_values(screening: Screening) -> Mapping[Row, float]:
    """Holm's p-values of the rows whose fresh pairs are complete; see `Screening.family`."""
    adjusted: dict[Row, float] = {}
    for direction, p_value in ((Screened.SLOWER, p_slower), (Screened.FASTER, p_faster)):
        family = screening.family(direction)
        # A row with too few pairs still counts in its family, with a p-value of 1.
        complete = {
            row: p_value(screening.fresh_changes(row)) if _complete(screening, row) else 1.0
            for row in family
        }
        adjusted |= {row: p for row, p in holm(complete).items() if _complete(screening, row)}
    return adjusted


def _complete(screening: Screening, row: Row) -> bool:
    return len(screening.fresh_changes(row)) >= screening.to_confirm[row]


def _finding(screening: Screening, row: Row, p: float | None) -> Finding:
    flagged = screening.screened[row] in {Screened.SLOWER, Screened.FASTER}
    verdict, reason = _flagged(screening, row, p) if flagged else _unflagged(screening, row)
    fresh = screening.fresh_changes(row) if flagged else []
    stage = CONFIRM if fresh else SCREEN
    changes = fresh or screening.changes(row, SCREEN)
    slower = screening.screened[row] is Screened.SLOWER
    return replace(
        _estimate(screening.check, row, changes, stage),
        verdict=verdict,
        p=p,
        reason=reason,
        unconfirmed=slower and p is None,
    )


def _unflagged(screening: Screening, row: Row) -> tuple[Verdict, str | None]:
    """The verdict on a row that the screen did not flag, with the reason if inconclusive."""
    pairs = len(screening.changes(row, SCREEN))
    return {
        Screened.CLEAR: (Verdict.PASS, None),
        Screened.TOO_NOISY: (Verdict.INCONCLUSIVE, f"too noisy to decide from {pairs} pairs"),
        Screened.UNDECIDED: (
            Verdict.INCONCLUSIVE,
            f"not decided after {pairs} {'pair' if pairs == 1 else 'pairs'}",
        ),
    }[screening.screened[row]]


def _flagged(screening: Screening, row: Row, p: float | None) -> tuple[Verdict, str | None]:
    """The verdict on a row that the screen flagged, with the reason if inconclusive."""
    slower = screening.screened[row] is Screened.SLOWER
    looked = f"looked {'slower' if slower else 'faster'}"
    if p is None:
        taken, needed = len(screening.fresh_changes(row)), screening.to_confirm[row]
        reason = f"{looked}, but only {taken} of {needed} pairs to confirm this were measured"
        return Verdict.INCONCLUSIVE, reason
    if p <= ALPHA:
        return Verdict.REGRESSION if slower else Verdict.IMPROVEMENT, None
    interval, min_effect = centre(screening.fresh_changes(row)), screening.check.min_effect
    if -min_effect < interval.low and interval.high < min_effect:
        return Verdict.PASS, None
    return Verdict.INCONCLUSIVE, f"{looked}, but fresh pairs did not confirm it (p {p:.2g})"


def _small(screening: Screening, case: str) -> Iterator[Finding]:
    """Findings for phases too small to decide (below `MIN_SHARE`), without a verdict."""
    pairs = screening.check.valid_pairs(case, SCREEN)
    for phase in phases(pairs):
        if share(pairs, phase) < MIN_SHARE:
            changes = [pair.changes[phase] for pair in pairs]
            yield _estimate(screening.check, Row(case, phase), changes, SCREEN)


def _estimate(check: Check, row: Row, changes: Sequence[float], stage: Stage) -> Finding:
    """A row's figures from some pairs, without a verdict."""
    valid = [] if row.case == SUITE else check.valid_pairs(row.case, stage)
    pairs = [pair for pair in valid if row.what in pair.changes][: len(changes)]
    base_s, head_s = (
        float(np.median([figures[row.what] for figures in side])) if pairs else math.nan
        for side in ([p.base for p in pairs], [p.head for p in pairs])
    )
    return Finding(
        row=row,
        verdict=None,
        change=centre(changes) if changes else UNKNOWN,
        spread=spread(changes) if len(changes) > 1 else math.nan,
        pairs=len(changes),
        p=None,
        base_s=base_s,
        head_s=head_s,
    )


def verdict_file(decision: Decision) -> VerdictFile:
    """The content of `verdict.json`; figures that are not finite become `None`."""
    return VerdictFile(
        exit_code=decision.exit_code,
        fatal=decision.fatal,
        rows=tuple(_verdict_row(finding) for finding in decision.findings),
        facts=decision.facts,
        unmeasured=decision.unmeasured,
    )


def _verdict_row(finding: Finding) -> VerdictRow:
    return VerdictRow(
        case=finding.row.case,
        row=finding.row.what,
        verdict=finding.verdict,
        change=finite_or_none(finding.change.value),
        low=finite_or_none(finding.change.low),
        high=finite_or_none(finding.change.high),
        spread=finite_or_none(finding.spread),
        pairs=finding.pairs,
        p=finding.p,
        base_s=finite_or_none(finding.base_s),
        head_s=finite_or_none(finding.head_s),
        reason=finding.reason,
    )
