"""Renders a run for a terminal: a table with a row per case, which fits 80 columns if needed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.phases import STEP, Phase
from stepbench_reports.schema.status import Status
from stepbench_reports.wording import bottleneck, caveats, parity, quantity, summary
from stepbench_reports.wording.headline import headline

MAX_FAILURES = 20
"""The maximum number of failed cases that are explained; `report.md` has more."""
BOTTLENECK = "bottleneck"
"""The head of the column that is left out if the table does not fit."""
SPLIT_HEADS: Mapping[str, str] = {
    Phase.DATALOAD: "data-\nload",
    Phase.TRANSFER: "trans-\nfer",
    Phase.BACKWARD: "back-\nward",
    Phase.OPTIMIZER: "opti-\nmizer",
    "samples/s": "samples\n/s",
    "speed-up": "speed-\nup",
    BOTTLENECK: "bottle-\nneck",
}
"""Column heads on two lines, used if single-line heads do not fit."""
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
    console.print(render(run))


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
    ) -> Iterator[list[RenderableType]]:
        run = self.run
        machine = f"{summary.machine(run)}; {summary.packages(run)}"
        yield [Text(encode(summary.title(run)), style="bold"), Text(encode(machine), style="dim")]
        tried = [m for m in run.measurements if m.axes]
        if tried:
            yield [Text(f"{summary.MEDIANS}:", style="dim"), _table(run, tried, encode, width)]
        failures = _failures(run, encode)
        if failures:
            yield failures
        notes = [Text(encode(note), style="dim") for note in caveats.caveats(run)]
        missing = summary.missing(run)
        if missing is not None:
            notes.insert(
                0, Text(encode(f"{missing}; measure them with: {summary.resume(run)}"), "yellow")
            )
        if notes:
            yield list(notes)
        yield [Text(encode(headline(run)), style="bold")]
        profiled = summary.profiled(run)
        if profiled is not None:
            yield [Text(encode(profiled), style="dim")]


def _in_ascii(text: str) -> str:
    return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")


def _table(
    run: Run, tried: list[Measurement], encode: Callable[[str], str], width: int
) -> RenderableType:
    marks = [f" {summary.INTERFERENCE_MARK}" if m.interference else "" for m in tried]
    labels = [encode(summary.name(run, m) + mark) for m, mark in zip(tried, marks, strict=True)]
    columns = {
        phase: quantity.aligned([_median(m, phase) for m in tried])
        for phase in (*run.phase_names, STEP)
    }
    columns["samples/s"] = [
        quantity.rate(m.samples_per_s) if m.ok else summary.status(m.status) for m in tried
    ]
    if run.speedups:
        columns["speed-up"] = [
            quantity.NOTHING if m.parity.failed else summary.speedup(run, m) for m in tried
        ]
    if any(m.parity.compared for m in tried):
        columns["parity"] = [parity.short(m.parity) for m in tried]
    if any(m.bottleneck is not None for m in tried):
        columns[BOTTLENECK] = [bottleneck.short(m) for m in tried]
    heads, gap = _layout(columns, width - max(map(len, labels)))
    columns = {name: columns[name] for name in heads}
    table = Table(box=None, padding=(0, 0, 0, gap), pad_edge=False, header_style="bold")
    table.add_column("case", overflow="fold", vertical="bottom")
    for name, cells in columns.items():
        min_width = _width(heads[name], cells)
        # rich strips trailing spaces, which align the decimal points, unless the cells are as wide
        # as the column.
        columns[name] = [encode(cell.rjust(min_width)) for cell in cells]
        head = Text(encode(heads[name]), justify="right")
        table.add_column(head, no_wrap=True, min_width=min_width, vertical="bottom")
    for row, measurement in enumerate(tried):
        style = "" if measurement.ok else "yellow" if _unsupported(measurement) else "red"
        style = "red" if measurement.parity.failed else style
        figures = (Text(cells[row]) for cells in columns.values())
        table.add_row(Text(labels[row]), *figures, style=style)
    return table


def _layout(columns: dict[str, list[str]], width: int) -> tuple[dict[str, str], int]:
    """The widest layout that fits: the column heads, and the number of spaces before each column.

    Layouts without the bottleneck column, which `report.md` has, are tried last. If no layout fits,
    the narrowest is returned.
    """
    layouts = []
    for names in (list(columns), [name for name in columns if name != BOTTLENECK]):
        unsplit = {name: name for name in names}
        split = {name: SPLIT_HEADS.get(name, name) for name in names}
        layouts += [(unsplit, 2), (unsplit, 1), (split, 2), (split, 1)]
    for heads, gap in layouts:
        if sum(gap + _width(head, columns[name]) for name, head in heads.items()) <= width:
            return heads, gap
    return layouts[-1]


def _width(head: str, cells: list[str]) -> int:
    return max(map(len, (*head.split("\n"), *cells)))


def _median(measurement: Measurement, phase: str) -> str:
    median = measurement.medians.get(phase)
    return quantity.NOTHING if median is None else quantity.milliseconds(median)


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
