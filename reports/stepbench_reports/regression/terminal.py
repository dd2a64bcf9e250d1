"""Prints a decision on a terminal: the verdict, the table of rows, facts that differ."""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from stepbench_reports.regression import cause, culprit, table, words
from stepbench_reports.regression.attribution import attribute
from stepbench_reports.regression.decision import Decision
from stepbench_reports.regression.headline import exit_line, headline
from stepbench_reports.schema.verdict import CheckOutcome, Verdict

STYLES = {
    Verdict.REGRESSION: "bold red",
    Verdict.IMPROVEMENT: "green",
    Verdict.PASS: "",
    Verdict.INCONCLUSIVE: "yellow",
    None: "dim",
}
_HEADLINE_STYLES = {
    CheckOutcome.REGRESSION: "bold red",
    CheckOutcome.NOT_COMPARED: "bold red",
    CheckOutcome.UNDECIDED: "bold yellow",
    CheckOutcome.PASS: "bold green",
}


def show(decision: Decision, console: Console) -> None:
    """Prints a decision.

    Args:
        decision: The decision.
        console: The console to print on.
    """
    console.print()
    title = Text(headline(decision), style=_HEADLINE_STYLES[decision.outcome])
    _print(title, console)
    console.print()
    if decision.findings:
        for line in table.lines(decision):
            console.print(Text(line.text, style=_style(line)), soft_wrap=True)
        console.print()
    for text in _lines(decision):
        _print(text, console)


def show_exit(decision: Decision, console: Console) -> None:
    """Prints the last line of a check, which holds the exit code."""
    console.print(exit_line(decision), markup=False, soft_wrap=True)


def _print(text: Text, console: Console) -> None:
    """Prints a line, wrapped between words on a terminal, and unbroken into a file or a pipe."""
    console.print(text, soft_wrap=not console.is_terminal)


def _style(line: table.Line) -> str:
    """The style of a line of the table: a row's verdict, or bold for a case's id."""
    return "bold" if line.finding is None else STYLES[line.finding.verdict]


def _lines(decision: Decision) -> Iterator[Text]:
    for sentence in table.not_decided(decision):
        yield Text(sentence, style=STYLES[Verdict.INCONCLUSIVE])
    for fact in decision.facts:
        yield Text.assemble(
            f"{fact.case}: ", (fact.what, STYLES[fact.verdict]), f": {fact.sentence}"
        )
    for unmeasured in decision.unmeasured:
        yield Text.assemble(
            f"{unmeasured.case}: ", ("not compared", "yellow"), f": {unmeasured.reason}"
        )
    for slower in culprit.culprits(decision):
        attribution = attribute(decision, slower.case)
        if attribution is not None:
            yield Text(cause.title(attribution, slower.case))
            yield from (Text(f"  {line}") for line in cause.lines(attribution))
            yield Text(cause.balance(attribution))
    if culprit.following(decision):
        yield Text(cause.FOLLOWS, style="dim")
    for caveat in words.caveats(decision):
        yield Text(caveat, style="dim")
