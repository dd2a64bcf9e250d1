"""Puts the outcome of a check into one line, and the exit code into the last line."""

from collections.abc import Iterator, Sequence

from stepbench_reports.analysis.stats import point
from stepbench_reports.regression import cause, culprit, words
from stepbench_reports.regression.culprit import Culprit
from stepbench_reports.regression.decision import Decision, Finding
from stepbench_reports.regression.screening import SUITE
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.verdict import CheckOutcome, Verdict
from stepbench_reports.wording import quantity
from stepbench_reports.wording.with_noun import with_noun

MAX_NAMED = 3
"""The most undecided cases that the headline names."""
_EXITS = {
    0: "nothing is slower",
    1: "a confirmed regression",
    2: "the check compared nothing, or was interrupted",
    3: "could not tell (--strict)",
}


def headline(decision: Decision) -> str:
    """The outcome in one line."""
    match decision.outcome:
        case CheckOutcome.REGRESSION:
            return f"Regression: {'; '.join(_regressions(decision))}."
        case CheckOutcome.NOT_COMPARED:
            return f"{_not_compared(decision).rstrip('.')}."
        case CheckOutcome.UNDECIDED:
            return f"{_undecided(decision)}."
        case CheckOutcome.PASS:
            return f"{_no_regression(decision)}: {words.tally(decision)}."


def exit_line(decision: Decision) -> str:
    """The last line of a check, which holds the exit code."""
    code = decision.exit_code
    if decision.outcome is CheckOutcome.UNDECIDED and code == 0:
        return "exit code 0: nothing is slower as far as could be told; with --strict, 3"
    return f"exit code {code}: {_EXITS[code]}"


def _regressions(decision: Decision) -> Iterator[str]:
    slower = culprit.culprits(decision)
    if slower:
        yield _slowest(slower[0])
        more = len(slower) - 1
        if more:
            yield f"{more} more {'case is' if more == 1 else 'cases are'} slower"
    elif decision.regressions:
        yield _suite(decision)
    exact = [fact for fact in decision.facts if fact.verdict is Verdict.REGRESSION]
    if exact:
        more_facts = f", and {len(exact) - 1} more" if len(exact) > 1 else ""
        yield f"{exact[0].case}: {exact[0].sentence}{more_facts}"


def _slowest(slowest: Culprit) -> str:
    """The slowest case, with the phases behind it."""
    by = quantity.percent_change(slowest.finding.change).replace("+", "", 1)
    what = slowest.finding.row.what
    if what != STEP:
        return f"{what} of {slowest.case} is slower by {by} of the step"
    return ", ".join(filter(None, (f"{slowest.case} is {by} slower", cause.phases(slowest))))


def _suite(decision: Decision) -> str:
    """The suite, if no case alone is a regression, with the case that grew most."""
    suite = decision.regressions[0]
    steps = [f for f in decision.findings if f.row.what == STEP and f.row.case != SUITE]
    largest = max(steps, key=lambda f: f.change.value)
    by = quantity.percent_change(suite.change).replace("+", "", 1)
    return (
        f"the cases together are {by} slower, none of them clearly alone; {largest.row.case} grew "
        f"most ({quantity.percent_change(point(largest.change.value))})"
    )


def _not_compared(decision: Decision) -> str:
    if decision.fatal is not None:
        return f"Could not compare: {decision.fatal}"
    if decision.interrupted:
        return f"Interrupted: {words.tally(decision)}"
    if decision.unmeasured:
        first = decision.unmeasured[0]
        return f"Could not compare: {first.case}: {first.reason}"
    return "Could not compare: no pair was measured; give a larger --budget"


def _undecided(decision: Decision) -> str:
    rows, lost = decision.undecided, decision.lost_cases
    named = [f"{words.row_name(f)}: {words.not_decided(f)}" for f in _worst_first(rows)]
    named += [f"{case.case}: {case.reason}" for case in lost]
    more = f"; and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
    cases = len(decision.check.cases)
    undecided_cases = {f.row.case for f in rows} | {case.case for case in lost}
    decided = cases - len(undecided_cases - {SUITE})
    start = f"{_no_regression(decision)} in {decided} of {with_noun(cases, 'case')}, "
    start = f"{start}and could not tell" if decided else "Could not tell"
    return f"{start}: {'; '.join(named[:MAX_NAMED])}{more}"


def _worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Findings that looked slower, then the others by their estimate; the largest first."""
    return sorted(findings, key=lambda f: (not f.unconfirmed, -f.change.value))


def _no_regression(decision: Decision) -> str:
    faster = [f for f in decision.improvements if f.row.what == STEP]
    if not faster:
        return "No regression"
    best = faster[0]
    by = quantity.percent_change(point(-best.change.value)).lstrip("+")
    return (
        f"No regression, and {with_noun(len(faster), 'step')} faster "
        f"({words.name(best.row.case)} by {by})"
    )
