"""Decides the verdict on each row, on each fact, and on the check.

`docs/regression.md` describes the rules and the reasons for them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stepbench_reports.analysis.stats import UNKNOWN, Interval, finite_or_none
from stepbench_reports.regression import facts
from stepbench_reports.regression.pair_statistics import (
    ALPHA,
    Screened,
    ServerCorrelation,
    centre,
    detectable,
    holm,
    p_faster,
    p_slower,
    spread,
)
from stepbench_reports.regression.records import Check
from stepbench_reports.regression.screening import MIN_SHARE, SUITE, Row, Screening, phases, share
from stepbench_reports.schema.check import (
    CONFIRM,
    SCREEN,
    CaseReason,
    EndFact,
    FatalFact,
    Stage,
)
from stepbench_reports.schema.end_reason import EndReason
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.verdict import (
    EXIT_CODES,
    STRICT_UNDECIDED,
    CheckOutcome,
    Difference,
    ExitCode,
    Verdict,
    VerdictFile,
    VerdictRow,
)


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
        detectable: The smallest slowdown that the pairs behind an inconclusive verdict would have
            shown, a share of the step; `None` for other verdicts, and where no slowdown would have
            been shown.
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
    detectable: float | None = None


@dataclass(frozen=True)
class Decision:
    """The outcome of a check.

    Attributes:
        check: The check.
        findings: A finding for each row; the suite's comes last.
        facts: Differences that noise cannot explain.
        unmeasured: Cases that could not be compared.
        fatal: The reason why the check could compare nothing; else `None`.
        server_correlation: The similarity of pairs of the same server.
    """

    check: Check
    findings: tuple[Finding, ...]
    facts: tuple[Difference, ...]
    unmeasured: tuple[CaseReason, ...]
    fatal: str | None
    server_correlation: ServerCorrelation

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
    def outcome(self) -> CheckOutcome:
        """The outcome of the check.

        `NOT_COMPARED` if the check compared nothing at all, or was interrupted before a regression
        was confirmed; `UNDECIDED` if nothing is slower, and a case could not be decided, or
        something that looked slower was not confirmed for lack of time.
        """
        if self.fatal is not None:
            return CheckOutcome.NOT_COMPARED
        if self.regressions or any(fact.verdict is Verdict.REGRESSION for fact in self.facts):
            return CheckOutcome.REGRESSION
        lost = self.lost_cases
        if self.interrupted or not self.check.pairs or len(lost) == len(self.check.cases):
            return CheckOutcome.NOT_COMPARED
        return CheckOutcome.UNDECIDED if self.undecided or lost else CheckOutcome.PASS

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that belongs to the outcome; see `EXIT_CODES`."""
        if self.outcome is CheckOutcome.UNDECIDED and self.check.spec.strict:
            return STRICT_UNDECIDED
        return EXIT_CODES[self.outcome]

    @property
    def interrupted(self) -> bool:
        """True if Ctrl-C ended the check."""
        return any(
            fact.why is EndReason.INTERRUPTED for fact in self.check.facts_since_begin(EndFact)
        )

    @property
    def undecided(self) -> list[Finding]:
        """Inconclusive steps of cases; phases and the suite only if they looked slower."""
        return [
            f
            for f in self.inconclusive
            if f.unconfirmed or (f.row.what == STEP and f.row.case != SUITE)
        ]

    @property
    def lost_cases(self) -> list[CaseReason]:
        """Cases that both sides can run, and that could not be compared all the same."""
        return [case for case in self.unmeasured if case.case in self.check.cases]

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
    excluded = [(case, screening.failure_reason(case)) for case in check.cases]
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
        screening.server_correlation,
    )


def _findings(screening: Screening) -> Iterator[Finding]:
    check, p_values = screening.check, _p_values(screening)
    for case in screening.cases:
        for row in [row for row in screening.rows if row.case == case]:
            yield _finding(screening, row, p_values.get(row))
        yield from _small(screening, case)
    for case in check.cases:
        reason = screening.interference_reason(case)
        if reason is not None and screening.failure_reason(case) is None:
            yield _disturbed(check, Row(case, STEP), reason)
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
    if not changes and row.case != SUITE and screening.check.shown_pairs(row.case, SCREEN):
        return _disturbed(screening.check, row, "no pair counts, since interference differed")
    slower = screening.screened[row] is Screened.SLOWER
    return replace(
        _estimate(screening.check, row, changes, stage),
        verdict=verdict,
        p=p,
        reason=reason,
        unconfirmed=slower and p is None,
        detectable=detectable(changes) if verdict is Verdict.INCONCLUSIVE else None,
    )


def _disturbed(check: Check, row: Row, reason: str) -> Finding:
    """A row that interference keeps from being decided: its figures are from whatever was measured.

    Args:
        check: The check.
        row: The step of the case.
        reason: The reason.
    """
    changes = [pair.changes[row.what] for pair in check.shown_pairs(row.case, SCREEN)]
    return replace(
        _estimate(check, row, changes, SCREEN),
        verdict=Verdict.INCONCLUSIVE,
        reason=reason,
    )


def _unflagged(screening: Screening, row: Row) -> tuple[Verdict, str | None]:
    """The verdict on a row that the screen did not flag, with the reason if inconclusive."""
    pairs = len(screening.changes(row, SCREEN))
    return {
        Screened.CLEAR: (Verdict.PASS, None),
        Screened.TOO_NOISY: (Verdict.INCONCLUSIVE, f"too noisy to decide from {pairs} pairs"),
        Screened.UNDECIDED: (
            Verdict.INCONCLUSIVE,
            f"{pairs} {'pair is' if pairs == 1 else 'pairs are'} too few",
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
    interval, min_effect = centre(screening.fresh_changes(row)), screening.min_effect(row)
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
    shown = [] if row.case == SUITE else check.shown_pairs(row.case, stage)
    pairs = [pair for pair in shown if row.what in pair.changes]
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


def verdict_file(decision: Decision, follows: Mapping[Row, str]) -> VerdictFile:
    """The content of `verdict.json`; figures that are not finite become `None`.

    Args:
        decision: The decision.
        follows: The phase that a slower phase follows from, by row; see `culprit`.
    """
    return VerdictFile(
        exit_code=decision.exit_code,
        outcome=decision.outcome,
        fatal=decision.fatal,
        rows=tuple(_verdict_row(f, follows.get(f.row)) for f in decision.findings),
        facts=decision.facts,
        unmeasured=decision.unmeasured,
    )


def _verdict_row(finding: Finding, follows: str | None) -> VerdictRow:
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
        detectable=finding.detectable,
        follows=follows,
    )
