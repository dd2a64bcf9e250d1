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
    steps = [finding for finding in decision.findings if finding.row.what == STEP]
    if steps:
        lines += [*_table(_notable(decision, steps)), ""]
    lines += _facts(decision)
    for case in _slower_cases(decision):
        lines += _operators(decision, case)
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
            finding
            for finding in decision.findings
            if finding.row.case == step.row.case
            and finding.row.what != STEP
            and finding.verdict in differing
        ]
    return shown


def _table(findings: Sequence[Finding]) -> list[str]:
    rows = [
        [
            escaped(words.name(f.row.case)) if f.row.what == STEP else f"↳ {f.row.what}",
            quantity.milliseconds(point(f.base_s)),
            quantity.milliseconds(point(f.head_s)),
            words.change_range(f.change),
            _verdict(f),
        ]
        for f in findings
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
    for case in decision.unmeasured:
        yield f"- not compared, {escaped(case.case)}: {escaped(case.reason)}"
    if decision.facts or decision.unmeasured:
        yield ""


def _slower_cases(decision: Decision) -> list[str]:
    return list(dict.fromkeys(finding.row.case for finding in decision.regressions))


def _operators(decision: Decision, case: str) -> Iterator[str]:
    main_phase = decision.main_phase(case)
    phase = None if main_phase is None else main_phase.row.what
    operators = attribution.grown(decision.check, case, phase)
    if operators is None:
        return
    yield f"Slower operators in {escaped(case)}, µs per step, from a trace of each side:"
    yield ""
    if operators.empty:
        yield "None: the slowdown does not show under the profiler."
    else:
        rows = [
            [
                str(row["phase"]),
                code(str(row["operator"])),
                f"{row['base_s'] * 1e6:,.0f}",
                f"{row['head_s'] * 1e6:,.0f}",
                f"{row['grown_s'] * 1e6:+,.0f}",
            ]
            for row in operators.to_dict("records")
        ]
        yield from grid(["phase", "operator", "base", "head", ""], "llrrr", rows, 4000).lines
    yield ""


def _details(findings: Sequence[Finding]) -> list[str]:
    rows = [
        [
            escaped(words.row_name(f)),
            words.change_range(f.change),
            quantity.uncertainty(f.spread),
            str(f.pairs),
            "" if f.p is None else f"{f.p:.2g}",
            "too small" if f.verdict is None else _verdict(f),
        ]
        for f in findings
    ]
    heads = ["row", "change, of the step", "spread", "pairs", "p", "verdict"]
    return list(grid(heads, "lrrrrl", rows, TABLE_BYTES // 2).lines)


def _method(decision: Decision) -> str:
    check = decision.check
    return (
        f"Base and head took turns in two processes, forked afresh for each pair. A change is head "
        f"minus base as a share of the step, from the faster half of each side's turns. Its spread "
        f"is the standard deviation from pair to pair. Rows were screened for a change of "
        f"{check.min_effect * 100:g} %, and flagged rows were measured again. p is Holm's p-value "
        f"for the exact signed-rank test of these fresh pairs alone. "
        f"Machine: {check.spec.machine.cpu}, {check.spec.machine.usable_cores} cores."
    )
