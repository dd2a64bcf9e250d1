"""Puts a decision into words, which the terminal, Markdown and JUnit reports share."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stepbench_reports.analysis.stats import Interval
from stepbench_reports.regression.decision import NOT_MEASURED, REGRESSION, Decision, Finding
from stepbench_reports.regression.screening import SUITE
from stepbench_reports.schema.check import EndFact, ParityFact, ScreenedFact
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.verdict import Verdict
from stepbench_reports.wording import quantity

SUITE_NAME = "all cases, geometric mean"
SIGNS = {
    Verdict.REGRESSION: "slower",
    Verdict.IMPROVEMENT: "faster",
    Verdict.PASS: "pass",
    Verdict.INCONCLUSIVE: "inconclusive",
    None: "",
}


def change(share: float) -> str:
    """Formats a change as a share of the step: `+4.8 %`."""
    return f"{share * 100:+.1f} %" if math.isfinite(share) else quantity.NOTHING


def change_range(interval: Interval) -> str:
    """Formats a change with its interval: `+4.8 % (+4.1 to +5.6)`."""
    text = change(interval.value)
    if not text or not math.isfinite(interval.low):
        return text
    return f"{text} ({interval.low * 100:+.1f} to {interval.high * 100:+.1f})"


def name(case: str) -> str:
    """A case's name, or `SUITE_NAME` for the suite."""
    return SUITE_NAME if case == SUITE else case


@dataclass(frozen=True)
class Names:
    """Short names of cases for a table's column; their common parts go into the column's head.

    Attributes:
        common: The parts that all names share, with a `*` for each part that differs:
            `convnet-cpu-*-w0-off-fp32`; empty for one case, or names of unequally many parts.
        differing: By case, the parts of its name that differ: `b4`; empty if `common` is.
    """

    common: str
    differing: Mapping[str, str]

    def __getitem__(self, case: str) -> str:
        """A case's short name for the column, or the suite's name."""
        return self.differing.get(case) or name(case)


def names(cases: Sequence[str]) -> Names:
    """Splits cases' names into common and differing parts, for a table's column."""
    parts = [case.split("-") for case in cases]
    if len(cases) < 2 or len({len(name_parts) for name_parts in parts}) > 1:
        return Names("", {})
    differ = [len(set(values)) > 1 for values in zip(*parts, strict=True)]
    common = "-".join("*" if d else part for d, part in zip(differ, parts[0], strict=True))
    differing = (
        "-".join(part for d, part in zip(differ, name_parts, strict=True) if d)
        for name_parts in parts
    )
    return Names(common, dict(zip(cases, differing, strict=True)))


def row_name(finding: Finding) -> str:
    """A row's name: the case, and the phase if the row is a phase."""
    row = finding.row
    return name(row.case) if row.what == STEP else f"{row.case}, {row.what}"


def headline(decision: Decision) -> str:
    """The verdict in one line."""
    if decision.fatal is not None:
        return f"Could not compare: {decision.fatal}."
    code = decision.exit_code
    if code == REGRESSION:
        return f"Regression: {'; '.join(_regressions(decision))}."
    if code == NOT_MEASURED:
        return f"Could not tell: {_why_undecided(decision)}."
    faster = [f for f in decision.improvements if f.row.what == STEP]
    start = "No regression"
    if faster:
        best = faster[0]
        start += f", and {count(len(faster), 'step')} faster ({name(best.row.case)} by "
        start += f"{change(-best.change.value).lstrip('+')})"
    return f"{start}: {tally(decision)}."


def _regressions(decision: Decision) -> Iterator[str]:
    findings = decision.regressions
    steps = [finding for finding in findings if finding.row.what == STEP]
    shown = steps or findings
    if shown:
        worst = shown[0]
        text = f"{name(worst.row.case)} is {change_range(worst.change)} slower"
        if worst.row.what != STEP:
            text = f"{worst.row.what} of {name(worst.row.case)} is slower by "
            text += f"{change_range(worst.change)} of the step"
        main_phase = decision.main_phase(worst.row.case)
        if main_phase is not None and worst.row.what == STEP:
            text += f", most of it in {main_phase.row.what}"
        yield text.replace("+", "", 1)
    named_cases = {SUITE, shown[0].row.case if shown else SUITE}
    others = len({finding.row.case for finding in findings} - named_cases)
    if others > 0:
        yield f"{others} more {'case is' if others == 1 else 'cases are'} slower"
    exact = [fact for fact in decision.facts if fact.verdict is Verdict.REGRESSION]
    if exact:
        more = f", and {len(exact) - 1} more" if len(exact) > 1 else ""
        yield f"{exact[0].case}: {exact[0].sentence}{more}"


def _why_undecided(decision: Decision) -> str:
    unconfirmed = [f for f in decision.findings if f.unconfirmed and f.row.what == STEP]
    if unconfirmed:
        worst = max(unconfirmed, key=lambda f: f.change.value)
        return f"{name(worst.row.case)} {worst.reason}"
    if any(fact.why == "interrupted" for fact in decision.check.facts_since_begin(EndFact)):
        return f"interrupted ({tally(decision)})"
    if decision.unmeasured and not decision.findings:
        return f"{decision.unmeasured[0].case}: {decision.unmeasured[0].reason}"
    reasons = [f.reason for f in decision.findings if f.row.what == STEP and f.reason]
    return reasons[0] if reasons else "no pair was measured"


def tally(decision: Decision) -> str:
    """The number of cases, of rows by verdict, and of cases that were not compared."""
    cases = {finding.row.case for finding in decision.findings if finding.row.case != SUITE}
    parts = [count(len(cases), "case")]
    for verdict in Verdict:
        number = sum(finding.verdict is verdict for finding in decision.findings)
        if number:
            parts.append(f"{count(number, 'row')} {SIGNS[verdict]}")
    if decision.unmeasured:
        parts.append(f"{count(len(decision.unmeasured), 'case')} not compared")
    return ", ".join(parts)


def count(number: int, what: str) -> str:
    """Formats a number with its noun: `1 row`, `4 rows`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


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
    ends = list(check.facts_since_begin(EndFact))
    if ends and ends[-1].why == "budget":
        yield (
            f"The time limit was reached ({ends[-1].budget_s:g} s): {undecided(decision)}. "
            f"Continue with --resume, and with a larger --budget if needed."
        )
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
    if ends and ends[-1].why == "interrupted":
        yield f"The check was interrupted: {undecided(decision)}. Continue with --resume."
    discarded = sum(pair.interference for pair in check.pairs)
    if discarded:
        yield (
            f"{discarded} of {count(len(check.pairs), 'pair')} discarded, because other processes "
            f"used the machine meanwhile. A pair's result plays no part in this."
        )


def undecided(decision: Decision) -> str:
    """The number of inconclusive rows, in words."""
    number = len(decision.inconclusive)
    return f"{count(number, 'row')} inconclusive" if number else "all rows are decided"
