"""Renders a decision as Markdown, for a pull request's comment or a job's summary."""

from collections.abc import Iterator

from stepbench_reports.regression import cause, culprit, table, words
from stepbench_reports.regression.attribution import attribute
from stepbench_reports.regression.decision import Decision, Finding
from stepbench_reports.regression.headline import exit_line, headline
from stepbench_reports.schema.check import SIDES
from stepbench_reports.schema.verdict import CheckOutcome, Verdict
from stepbench_reports.wording import quantity
from stepbench_reports.wording.markup import escaped, fenced, grid, within

SIGNS = {
    CheckOutcome.REGRESSION: "❌",
    CheckOutcome.NOT_COMPARED: "❌",
    CheckOutcome.UNDECIDED: "⚠️",
    CheckOutcome.PASS: "✅",
}
TABLE_BYTES = 30_000
"""The largest size of a table: GitHub cuts a comment off at 65,536 characters."""
CAUSE_BYTES = 4000
"""The largest size of a case's operators."""


def render(decision: Decision) -> str:
    """The whole report: verdict, table of steps and of phases that differ, facts, all rows.

    The table and the operators are the lines that the terminal shows.
    """
    lines = [
        f"### {SIGNS[decision.outcome]} stepbench: {escaped(headline(decision), 900)}",
        "",
        *_sides(decision),
        "",
    ]
    if decision.findings:
        lines += _table(decision)
    lines += _facts(decision)
    for slower in culprit.culprits(decision):
        lines += _cause(decision, slower.case)
    if culprit.following(decision):
        lines += [f"> {cause.FOLLOWS}", ""]
    for caveat in words.caveats(decision):
        lines += [f"> {escaped(caveat)}", ""]
    if decision.findings:
        lines += [
            "<details><summary>All rows, and how they were decided</summary>", "",
            *_details(decision), "",
            escaped(_method(decision)), "", "</details>", "",
        ]  # fmt: skip
    lines += [f"{exit_line(decision).capitalize()}.", ""]
    return "\n".join(lines)


def _sides(decision: Decision) -> Iterator[str]:
    for name in SIDES:
        side = decision.check.spec.sides[name]
        torch = side.packages.get("torch", "?")
        yield f"- **{name}**: {escaped(side.described)}, torch {escaped(torch)}"


def _table(decision: Decision) -> Iterator[str]:
    lines, left_out = within(TABLE_BYTES, [line.text for line in table.lines(decision)])
    yield fenced("\n".join(lines))
    yield ""
    if left_out:
        yield f"_{left_out} more rows do not fit here._"
        yield ""


def _facts(decision: Decision) -> Iterator[str]:
    undecided = list(table.not_decided(decision))
    yield from (f"- {escaped(sentence)}" for sentence in undecided)
    for fact in decision.facts:
        strong = "**" if fact.verdict is Verdict.REGRESSION else ""
        yield (
            f"- {strong}{escaped(fact.what)}{strong}, {escaped(fact.case)}: "
            f"{escaped(fact.sentence)}"
        )
    for case in decision.unmeasured:
        yield f"- not compared, {escaped(case.case)}: {escaped(case.reason)}"
    if undecided or decision.facts or decision.unmeasured:
        yield ""


def _cause(decision: Decision, case: str) -> Iterator[str]:
    """The operators behind a case's slowdown; nothing if a side was not traced."""
    attribution = attribute(decision, case)
    if attribution is not None:
        yield escaped(cause.title(attribution, case))
        yield ""
        yield fenced("\n".join(within(CAUSE_BYTES, list(cause.lines(attribution)))[0]))
        yield ""
        yield cause.balance(attribution)
        yield ""


def _verdict(decision: Decision, finding: Finding) -> str:
    """The verdict on a row, with the reason if it is not decided."""
    if finding.verdict is None:
        return "too small"
    word, why = table.verdict(decision, finding), words.why_not_decided(finding)
    return f"{word}: {escaped(why)}" if why else word


def _details(decision: Decision) -> list[str]:
    rows = [
        [
            escaped(words.row_name(f)),
            quantity.percent_change(f.change),
            quantity.fine_percent(f.spread),
            str(f.pairs),
            "" if f.p is None else f"{f.p:.2g}",
            _verdict(decision, f),
        ]
        for f in decision.findings
    ]
    heads = ["row", "change, of the step", "spread", "pairs", "p", "verdict"]
    return list(grid(heads, "lrrrrl", rows, TABLE_BYTES // 2).lines)


def _method(decision: Decision) -> str:
    check = decision.check
    return (
        f"Base and head took turns in two processes, forked afresh for each pair. A change is head "
        f"minus base as a share of the step, from the faster half of each side's turns. Its spread "
        f"is the standard deviation from pair to pair. Rows were screened for a change of "
        f"{words.min_effects(check.spec)}, and flagged rows were measured again. p is Holm's "
        f"p-value for the exact signed-rank test of these fresh pairs alone. "
        f"Machine: {check.spec.machine.cpu}, {check.spec.machine.usable_cores} cores."
    )
