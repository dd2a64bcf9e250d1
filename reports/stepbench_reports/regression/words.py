"""Puts a decision into words, which the terminal, Markdown and JUnit reports share."""

from collections.abc import Iterator

from stepbench_reports.regression.decision import Decision, Finding
from stepbench_reports.regression.screening import DIFFERED, SUITE
from stepbench_reports.schema.check import CheckSpec, EndFact, ParityFact, ScreenedFact
from stepbench_reports.schema.end_reason import EndReason
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.verdict import Verdict
from stepbench_reports.wording import quantity
from stepbench_reports.wording.with_noun import with_noun

SUITE_NAME = "all cases, geometric mean"
SIGNS = {
    Verdict.REGRESSION: "slower",
    Verdict.IMPROVEMENT: "faster",
    Verdict.PASS: "pass",
    Verdict.INCONCLUSIVE: "not decided",
    None: "",
}


def min_effects(spec: CheckSpec) -> str:
    """The smallest effects that a check looks for: `3 %, forward 5 %`."""
    others = (f"{effect.rows} {effect.share * 100:.3g} %" for effect in spec.min_effects)
    return ", ".join([f"{spec.min_effect * 100:.3g} %", *others])


def name(case: str) -> str:
    """A case's name, or `SUITE_NAME` for the suite."""
    return SUITE_NAME if case == SUITE else case


def not_decided(finding: Finding) -> str:
    """A finding without a decision: the estimate, the reason, and what would have been seen."""
    estimate = quantity.percent_change(finding.change)
    return ", ".join(part for part in (SIGNS[finding.verdict], estimate, *_why(finding)) if part)


def why_not_decided(finding: Finding) -> str:
    """The reason for an inconclusive verdict, and what would have been seen."""
    return "; ".join(_why(finding))


def _why(finding: Finding) -> Iterator[str]:
    if finding.reason is not None:
        yield finding.reason
    if finding.detectable is not None:
        yield would_have_seen(finding.detectable)


def would_have_seen(detectable: float) -> str:
    """The smallest slowdown that the pairs would have shown: a share of the step, in words."""
    return f"a slowdown of {quantity.percent(detectable)} would have been seen"


def row_name(finding: Finding) -> str:
    """A row's name: the case, and the phase if the row is a phase."""
    row = finding.row
    return name(row.case) if row.what == STEP else f"{row.case}, {row.what}"


def tally(decision: Decision) -> str:
    """The number of cases, of rows by verdict, and of cases that were not compared."""
    cases = {finding.row.case for finding in decision.findings if finding.row.case != SUITE}
    parts = [with_noun(len(cases), "case")]
    for verdict in Verdict:
        number = sum(finding.verdict is verdict for finding in decision.findings)
        if number:
            parts.append(f"{with_noun(number, 'row')} {SIGNS[verdict]}")
    if decision.unmeasured:
        parts.append(f"{with_noun(len(decision.unmeasured), 'case')} not compared")
    return ", ".join(parts)


def caveats(decision: Decision) -> Iterator[str]:
    """Limits of the verdict that a reader should know, a sentence or two each."""
    check = decision.check
    yield from check.spec.notes
    yield from check.problems
    if check.spec.environments:
        yield (
            "The sides ran in two environments, so libraries are at different memory addresses in "
            "base and head. This raises the spread from pair to pair."
        )
    apart = dict.fromkeys(pair.case for pair in check.pairs if not pair.together)
    if apart:
        yield (
            f"{', '.join(apart)}: base and head were alive one at a time, so they met different "
            f"moments of the machine. Their pairs spread more widely, and more of them are needed."
        )
    yield from _end(decision)
    if any(True for _ in check.facts_of(ScreenedFact)):
        yield (
            "Screening ended early, to leave time to confirm the rows that it had flagged. For the "
            "other rows, start a new check with a larger --budget."
        )
    if decision.inconclusive:
        yield (
            "To decide rows that are too noisy, use a longer --pair-time, a larger --min-effect, "
            "or a machine that does nothing else."
        )
    for fact in check.facts_of(ParityFact):
        if fact.head not in {"pass", "fail"}:
            yield f"{fact.cases[0]}: parity is unknown: {fact.reason}"
    discarded = sum(pair.interference for pair in check.pairs)
    if discarded:
        yield (
            f"{discarded} of {with_noun(len(check.pairs), 'pair')} discarded, since {DIFFERED}. A "
            f"pair's result plays no part in this."
        )
    correlation = decision.server_correlation
    if correlation.is_high:
        yield (
            f"Pairs of the same server process are alike (intraclass correlation "
            f"{correlation.value:.2f}), so the pairs of each server count as one."
        )


def _end(decision: Decision) -> Iterator[str]:
    """Why a check ended before all rows were decided."""
    ends = list(decision.check.facts_since_begin(EndFact))
    end = ends[-1] if ends else None
    if end is None:
        return
    if end.why is EndReason.BUDGET:
        yield (
            f"The time limit was reached ({end.budget_s:g} s): {undecided(decision)}. "
            f"Continue with --resume, and with a larger --budget if needed."
        )
    if end.why is EndReason.EARLY:
        yield (
            f"The check ended after {end.elapsed_s:.0f} of {end.budget_s:g} s, since no row could "
            f"be decided in the time left: {undecided(decision)}. Continue with --resume and a "
            f"larger --budget, or look for larger slowdowns with --min-effect."
        )
    if end.why is EndReason.INTERRUPTED:
        yield f"The check was interrupted: {undecided(decision)}. Continue with --resume."


def undecided(decision: Decision) -> str:
    """The number of rows that are not decided, in words."""
    number = len(decision.inconclusive)
    return f"{with_noun(number, 'row')} not decided" if number else "all rows are decided"
