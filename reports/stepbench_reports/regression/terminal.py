"""Prints a decision on a terminal: the verdict, the table of rows, facts that differ."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stepbench_reports.analysis.stats import point
from stepbench_reports.regression import attribution, words
from stepbench_reports.regression.decision import NOT_MEASURED, REGRESSION, Decision, Finding
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.verdict import Verdict
from stepbench_reports.wording import quantity

STYLES = {
    Verdict.REGRESSION: "bold red",
    Verdict.IMPROVEMENT: "green",
    Verdict.PASS: "",
    Verdict.INCONCLUSIVE: "yellow",
    None: "dim",
}
_HEADLINE_STYLES = {REGRESSION: "bold red", NOT_MEASURED: "bold yellow", 0: "bold green"}


def show(decision: Decision, console: Console) -> None:
    """Prints a decision.

    Args:
        decision: The decision.
        console: The console to print on.
    """
    console.print()
    headline = Text(words.headline(decision), style=_HEADLINE_STYLES[decision.exit_code])
    console.print(headline, soft_wrap=True)
    console.print()
    if decision.findings:
        console.print(_table(decision))
        console.print()
    for line in _lines(decision):
        console.print(line, soft_wrap=True)


def _table(decision: Decision) -> Table:
    table = Table(box=None, pad_edge=False)
    names = words.names(decision.check.cases)
    table.add_column(Text(names.common), overflow="fold")
    for head in ("base,\nms", "head,\nms", "change, share of\nthe step", "spread", "pairs"):
        table.add_column(Text(head), justify="right", no_wrap=True)
    table.add_column("verdict")
    for finding in decision.findings:
        cells = map(Text, _cells(finding, names))
        table.add_row(*cells, _verdict(finding), style=_style(finding))
    return table


def _cells(finding: Finding, names: words.Names) -> Iterator[str]:
    row = finding.row
    yield names[row.case] if row.what == STEP else f"  {row.what}"
    yield quantity.milliseconds(point(finding.base_s))
    yield quantity.milliseconds(point(finding.head_s))
    yield words.change_range(finding.change)
    yield quantity.uncertainty(finding.spread)
    yield str(finding.pairs)


def _style(finding: Finding) -> str:
    return "bold" if finding.row.what == STEP else ""


def _verdict(finding: Finding) -> Text:
    word = words.SIGNS[finding.verdict]
    text = word if finding.reason is None else f"{word}: {finding.reason}"
    return Text(text, style=STYLES[finding.verdict])


def _lines(decision: Decision) -> Iterator[Text]:
    for fact in decision.facts:
        yield Text.assemble(
            f"{fact.case}: ", (fact.what, STYLES[fact.verdict]), f": {fact.sentence}"
        )
    for unmeasured in decision.unmeasured:
        yield Text.assemble(
            f"{unmeasured.case}: ", ("not compared", "yellow"), f": {unmeasured.reason}"
        )
    for case in dict.fromkeys(finding.row.case for finding in decision.regressions):
        yield from _operators(decision, case)
    for caveat in words.caveats(decision):
        yield Text(caveat, style="dim")


def _operators(decision: Decision, case: str) -> Iterator[Text]:
    main_phase = decision.main_phase(case)
    phase = None if main_phase is None else main_phase.row.what
    operators = attribution.grown(decision.check, case, phase)
    if operators is None or operators.empty:
        return
    yield Text(f"slower operators in {case}, µs per step:")
    for row in operators.to_dict("records"):
        yield Text(
            f"  {row['phase']}  {row['operator']}  {row['base_s'] * 1e6:,.0f} to "
            f"{row['head_s'] * 1e6:,.0f} ({row['grown_s'] * 1e6:+,.0f})"
        )
