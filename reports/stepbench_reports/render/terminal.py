"""Renders a run for a terminal: a table with a row per case, which fits 80 columns if needed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.render import terminal_tables
from stepbench_reports.schema.status import Status
from stepbench_reports.wording import caveats, doubts, operators, quantity, script, summary
from stepbench_reports.wording.headline import headline

MAX_FAILURES = 20
"""The maximum number of failed cases that are explained; `report.md` has more."""
MAX_NOTES = 3
"""The maximum number of notes, the most important ones; `report.md` has all."""
SHOWN = ("--", "stepbench ", doubts.MARK, "Parity of ")
"""Words of the notes that are shown: what one types, or what explains a mark in the table."""
_ASCII = str.maketrans({quantity.TIMES: "x", quantity.DASH: "-", "±": "+/-"})


def render(run: Run) -> RenderableType:
    """Makes a rich renderable of a run: heading, table, failures, notes, headline."""
    return _Report(run)


def show(run: Run, console: Console) -> None:
    """Prints a run.

    Args:
        run: The run.
        console: The console. Without a terminal, output has no colours; without UTF-8, it is ASCII.
    """
    console.print(render(run), crop=False)  # a command to copy may be longer than a line


@dataclass(frozen=True)
class _Report:
    run: Run

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        encode = _in_ascii if options.ascii_only else str
        for part in self._paragraphs(encode, options.max_width):
            yield Text()
            yield from part

    def _paragraphs(
        self, encode: Callable[[str], str], width: int
    ) -> Iterator[Sequence[RenderableType]]:
        run = self.run
        machine = f"{summary.machine(run)}; {summary.packages(run)}"
        yield [Text(encode(summary.title(run)), style="bold"), Text(encode(machine), style="dim")]
        recognised = script.recognised(run)
        if recognised:
            yield [Text(encode(line)) for line in recognised]
        tried = [m for m in run.measurements if m.axes]
        if tried:
            legend = [summary.key(run), f"step and phases: {summary.MEDIANS}"]
            yield [Text(encode("; ".join(filter(None, legend))), style="dim")]
            for table in terminal_tables.tables(run, tried, encode, width):
                yield [table]
        failures = _failures(run, encode)
        if failures:
            yield failures
        notes = _notes(run, encode)
        missing = summary.missing(run)
        if missing is not None:
            command = Text(encode(f"  {summary.resume(run)}"), no_wrap=True, overflow="ignore")
            notes[:0] = [Text(encode(f"{missing}; measure them with:"), "yellow"), command]
        if notes:
            yield notes
        yield [Text(encode(headline(run)), style="bold")]
        profiled = summary.profiled(run)
        if profiled is not None:
            yield [
                Text(encode(operators.longest(run) or "")),
                Text(encode(profiled), style="dim", no_wrap=True, overflow="ignore"),
            ]


def _notes(run: Run, encode: Callable[[str], str]) -> list[RenderableType]:
    """The first notes that say what to type, or explain a mark; the report has all."""
    notes = caveats.caveats(run)
    shown = [note for note in notes if any(word in note for word in SHOWN)][:MAX_NOTES]
    lines: list[RenderableType] = [Text(encode(note), "dim") for note in shown]
    if len(notes) > len(shown):
        lines.append(Text(f"More notes are in report.md ({len(notes) - len(shown)}).", "dim"))
    return lines


def _in_ascii(text: str) -> str:
    return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")


def _unsupported(measurement: Measurement) -> bool:
    return measurement.status == Status.UNSUPPORTED


def _failures(run: Run, encode: Callable[[str], str]) -> list[RenderableType]:
    failed = summary.failed(run)
    lines: list[RenderableType] = []
    for measurement in failed[:MAX_FAILURES]:
        line = Text.assemble(
            (summary.status(measurement.status), "yellow" if _unsupported(measurement) else "red"),
            encode(f"  {measurement.id}: {measurement.reason or 'reason not recorded'}"),
        )
        lines.append(line)
    if len(failed) > MAX_FAILURES:
        lines.append(Text(f"{len(failed) - MAX_FAILURES} more failed: see report.md"))
    return lines
