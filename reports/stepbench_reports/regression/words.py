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
    told = change(interval.value)
    if not told or not math.isfinite(interval.low):
        return told
    return f"{told} ({interval.low * 100:+.1f} to {interval.high * 100:+.1f})"


def name(case: str) -> str:
    """A case's name, or `SUITE_NAME` for the suite."""
    return SUITE_NAME if case == SUITE else case


@dataclass(frozen=True)
class Names:
    """Short names of cases for a table's column; their common parts go into the column's head.

    Attributes:
        common: The parts that all names share, with a `*` for each part that differs:
            `convnet-cpu-*-w0-off-fp32`; empty for one case, or names of unequally many parts.
        own: By case, the parts of its name that differ: `b4`; empty if `common` is.
    """

    common: str
    own: Mapping[str, str]

    def __getitem__(self, case: str) -> str:
        """A case's short name for the column, or the suite's name."""
        return self.own.get(case) or name(case)


def names(cases: Sequence[str]) -> Names:
    """Splits cases' names into common and differing parts, for a table's column."""
    parts = [case.split("-") for case in cases]
    if len(cases) < 2 or len({len(each) for each in parts}) > 1:
        return Names("", {})
    differ = [len(set(each)) > 1 for each in zip(*parts, strict=True)]
    common = "-".join("*" if d else part for d, part in zip(differ, parts[0], strict=True))
    own = ("-".join(part for d, part in zip(differ, each, strict=True) if d) for each in parts)
    return Names(common, dict(zip(cases, own, strict=True)))


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
        return f"Could not tell: {_why_nothing(decision)}."
    better = [each for each in decision.improvements if each.row.what == STEP]
    start = "No regression"
    if better:
        best = better[0]
        start += f", and {count(len(better), 'step')} faster ({name(best.row.case)} by "
        start += f"{change(-best.change.value).lstrip('+')})"
    return f"{start}: {tally(decision)}."


def _regressions(decision: Decision) -> Iterator[str]:
    found = decision.regressions
    steps = [each for each in found if each.row.what == STEP]
    shown = steps or found
    if shown:
        worst = shown[0]
        told = f"{name(worst.row.case)} is {change_range(worst.change)} slower"
        if worst.row.what != STEP:
            told = f"{worst.row.what} of {name(worst.row.case)} takes {change_range(worst.change)}"
            told += " of the step more"
        blamed = decision.blamed(worst.row.case)
        if blamed is not None and worst.row.what == STEP:
            told += f", most of it in {blamed.row.what}"
        yield told.replace("+", "", 1)
    told_of = {SUITE, shown[0].row.case if shown else SUITE}
    others = len({each.row.case for each in found} - told_of)
    if others > 0:
        yield f"{others} more {'case is' if others == 1 else 'cases are'} slower"
    exact = [fact for fact in decision.facts if fact.verdict is Verdict.REGRESSION]
    if exact:
        more = f", and {len(exact) - 1} more" if len(exact) > 1 else ""
        yield f"{exact[0].case}: {exact[0].sentence}{more}"


def _why_nothing(decision: Decision) -> str:
    open_ = [each for each in decision.findings if each.unconfirmed and each.row.what == STEP]
    if open_:
        worst = max(open_, key=lambda each: each.change.value)
        return f"{name(worst.row.case)} {worst.reason}"
    if any(fact.why == "interrupted" for fact in decision.check.last(EndFact)):
        return f"interrupted ({tally(decision)})"
    if decision.unmeasured and not decision.findings:
        return f"{decision.unmeasured[0].case}: {decision.unmeasured[0].reason}"
    reasons = [each.reason for each in decision.findings if each.row.what == STEP and each.reason]
    return reasons[0] if reasons else "no pair was measured"


def tally(decision: Decision) -> str:
    """The number of cases, of rows by verdict, and of cases that were not compared."""
    cases = {each.row.case for each in decision.findings if each.row.case != SUITE}
    judged = [each for each in decision.findings if each.verdict is not None]
    parts = [count(len(cases), "case")]
    for verdict in Verdict:
        number = sum(each.verdict is verdict for each in judged)
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
            "The sides ran in two environments, each of whose processes had a parent of its own: "
            "where the libraries lie in memory is not the same for both sides of a pair, which "
            "raises the spread from pair to pair."
        )
    ended = list(check.last(EndFact))
    if ended and ended[-1].why == "budget":
        yield (
            f"The time was up ({ended[-1].budget_s:g} s): {undecided(decision)}; "
            f"go on with --resume, or give it more by --budget."
        )
    if any(True for _ in check.found(ScreenedFact)):
        yield (
            "Screening was ended for want of time, so that what it had flagged could be confirmed; "
            "a new check with more --budget decides about the rest."
        )
    if decision.inconclusive:
        yield (
            "What is too noisy to tell may be told with a longer --pair-time or a larger "
            "--min-effect, and on a machine that does nothing else."
        )
    for fact in check.found(ParityFact):
        if fact.head not in {"pass", "fail"}:
            yield f"{fact.cases[0]}: its parity was not told: {fact.reason}"
    if ended and ended[-1].why == "interrupted":
        yield f"The check was interrupted: {undecided(decision)}; go on with --resume."
    disturbed = sum(pair.disturbed for pair in check.pairs)
    if disturbed:
        yield (
            f"{disturbed} of {count(len(check.pairs), 'pair')} set aside: others on the machine "
            f"disturbed them, by a rule that does not know how they came out."
        )


def undecided(decision: Decision) -> str:
    """The number of inconclusive rows, in words."""
    number = len(decision.inconclusive)
    return f"{count(number, 'row')} inconclusive" if number else "all rows are decided"
