"""Renders a decision as Markdown, for a pull request's comment or a job's summary."""

from collections.abc import Iterator, Sequence

from stepbench_reports.analysis.stats import point
from stepbench_reports.regression import attribution, words
from stepbench_reports.regression.decision import NOT_MEASURED, REGRESSION, Decision, Finding
from stepbench_reports.schema.check import SIDES
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.verdict import Verdict
from stepbench_reports.wording import quantity
from stepbench_reports.wording.markup import code, escaped, grid

SIGNS = {REGRESSION: "❌", NOT_MEASURED: "⚠️", 0: "✅"}
TABLE_BYTES = 30_000
"""The largest size of a table: GitHub cuts a comment off at 65,536 characters."""


def render(decision: Decision) -> str:
    """The whole report: verdict, table of steps and of phases that differ, facts, all rows."""
    lines = [
        f"### {SIGNS[decision.exit_code]} stepbench: {escaped(words.headline(decision), 900)}",
        "",
        *_sides(decision),
        "",
    ]
    steps = [each for each in decision.findings if each.row.what == STEP]
    if steps:
        lines += [*_table(_notable(decision, steps)), ""]
    lines += _facts(decision)
    lines += [line for name in _slower(decision) for line in _operators(decision, name)]
    for caveat in words.caveats(decision):
        lines += [f"> {escaped(caveat)}", ""]
    if decision.findings:
        lines += [
            "<details><summary>All rows, and how they were decided</summary>", "",
            *_details(decision.findings), "",
            escaped(_method(decision)), "", "</details>", "",
        ]  # fmt: skip
    return "\n".join(lines)


def _sides(decision: Decision) -> Iterator[str]:
    for name in SIDES:
        side = decision.check.spec.sides[name]
        torch = side.packages.get("torch", "?")
        yield f"- **{name}**: {escaped(side.described)}, torch {escaped(torch)}"


def _notable(decision: Decision, steps: Sequence[Finding]) -> list[Finding]:
    """The steps, each followed by the phases of its case that differ."""
    differing = {Verdict.REGRESSION, Verdict.IMPROVEMENT}
    shown: list[Finding] = []
    for step in steps:
        shown.append(step)
        shown += [
            each
            for each in decision.findings
            if each.row.case == step.row.case
            and each.row.what != STEP
            and each.verdict in differing
        ]
    return shown


def _table(findings: Sequence[Finding]) -> list[str]:
    rows = [
        [
            escaped(words.name(each.row.case)) if each.row.what == STEP else f"↳ {each.row.what}",
            quantity.milliseconds(point(each.base_s)),
            quantity.milliseconds(point(each.head_s)),
            words.change_range(each.change),
            _verdict(each),
        ]
        for each in findings
    ]
    table = grid(
        ["", "base, ms", "head, ms", "change, of the step", "verdict"], "lrrrl", rows, TABLE_BYTES
    )
    rest = [f"_{table.left_out} more rows do not fit here._"] if table.left_out else []
    return [*table.lines, *rest]


def _verdict(finding: Finding) -> str:
    word = words.SIGNS[finding.verdict]
    if finding.verdict is Verdict.REGRESSION:
        return f"**{word}**"
    return word if finding.reason is None else f"{word}: {escaped(finding.reason)}"


def _facts(decision: Decision) -> Iterator[str]:
    for fact in decision.facts:
        strong = "**" if fact.verdict is Verdict.REGRESSION else ""
        yield (
            f"- {strong}{escaped(fact.what)}{strong}, {escaped(fact.case)}: "
            f"{escaped(fact.sentence)}"
        )
    for each in decision.unmeasured:
        yield f"- not compared, {escaped(each.case)}: {escaped(each.reason)}"
    if decision.facts or decision.unmeasured:
        yield ""


def _slower(decision: Decision) -> list[str]:
    return list(dict.fromkeys(each.row.case for each in decision.regressions))


def _operators(decision: Decision, case: str) -> Iterator[str]:
    blamed = decision.blamed(case)
    phase = None if blamed is None else blamed.row.what
    found = attribution.grown(decision.check, case, phase)
    if found is None:
        return
    yield f"What grew in {escaped(case)}, µs a step in traces of both sides:"
    yield ""
    if found.empty:
        yield "No operator did: what became slower does not show under the profiler."
    else:
        rows = [
            [
                str(row["phase"]),
                code(str(row["operator"])),
                f"{row['base_s'] * 1e6:,.0f}",
                f"{row['head_s'] * 1e6:,.0f}",
                f"{row['grown_s'] * 1e6:+,.0f}",
            ]
            for row in found.to_dict("records")
        ]
        yield from grid(["phase", "operator", "base", "head", ""], "llrrr", rows, 4000).lines
    yield ""


def _details(findings: Sequence[Finding]) -> list[str]:
    rows = [
        [
            escaped(words.row_name(each)),
            words.change_range(each.change),
            quantity.uncertainty(each.spread),
            str(each.pairs),
            "" if each.p is None else f"{each.p:.2g}",
            "told of only" if each.verdict is None else _verdict(each),
        ]
        for each in findings
    ]
    heads = ["row", "change, of the step", "spread", "pairs", "p", "verdict"]
    return list(grid(heads, "lrrrrl", rows, TABLE_BYTES // 2).lines)


def _method(decision: Decision) -> str:
    check = decision.check
    return (
        f"Base and head took turns in pairs of processes, forked anew for each pair; a change is "
        f"head less base as a share of the step, from the faster half of each side's turns; its "
        f"spread is the standard deviation from pair to pair. Rows were screened for a change of "
        f"{check.smallest * 100:g} %, those that it flagged were measured again, and p is Holm's "
        f"for the exact signed-rank test of these fresh pairs alone. "
        f"Machine: {check.spec.machine.cpu}, {check.spec.machine.usable_cores} cores."
    )
