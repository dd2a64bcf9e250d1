"""The tables of cases in a terminal: how fast each case is, and how long each phase takes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.phases import STEP, Phase
from stepbench_reports.schema.status import Status
from stepbench_reports.wording import bottleneck, doubts, parity, quantity, summary

CASE = "case"
BOTTLENECK = "bottleneck"
"""The head of the column that is left out if the table of cases does not fit."""
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

Columns = Mapping[str, Sequence[str]]
"""The cells of each column, by its head."""


def tables(
    run: Run, tried: Sequence[Measurement], encode: Callable[[str], str], width: int
) -> list[Table]:
    """One table if it fits; else the phases have a table of their own.

    Args:
        run: The run.
        tried: The cases to show.
        encode: Makes a text such that the terminal can show it.
        width: The terminal's width, characters.
    """
    rows = _Rows(
        [encode(summary.name(run, m) + doubts.mark(run, m)) for m in tried],
        [_style(m) for m in tried],
        encode,
    )
    overview, phases = _overview(run, tried), _phases(run, tried)
    room = width - max(len(CASE), *map(len, rows.labels))
    together = {**overview, **phases}
    for gap in (2, 1):
        heads = {name: name for name in together}
        if _width(together, heads, gap) <= room:
            return [rows.table(together, heads, gap)]
    narrower = {name: cells for name, cells in overview.items() if name != BOTTLENECK}
    fitting = [columns for columns in (overview, narrower) if _layouts(columns, room)]
    overview = fitting[0] if fitting else narrower
    return [rows.table(columns, *_layout(columns, room)) for columns in (overview, phases)]


@dataclass(frozen=True)
class _Rows:
    """The rows of a table: the name and the style of each case."""

    labels: Sequence[str]
    styles: Sequence[str]
    encode: Callable[[str], str]

    def table(self, columns: Columns, heads: Mapping[str, str], gap: int) -> Table:
        table = Table(box=None, padding=(0, 0, 0, gap), pad_edge=False, header_style="bold")
        table.add_column(CASE, overflow="fold", vertical="bottom")
        padded = []
        for name, cells in columns.items():
            width = _column_width(heads[name], cells)
            # rich strips trailing spaces, which align the decimal points, unless the cells are as
            # wide as the column.
            padded.append([self.encode(cell.rjust(width)) for cell in cells])
            head = Text(self.encode(heads[name]), justify="right")
            table.add_column(head, no_wrap=True, min_width=width, vertical="bottom")
        for row, (label, style) in enumerate(zip(self.labels, self.styles, strict=True)):
            table.add_row(Text(label), *(Text(cells[row]) for cells in padded), style=style)
        return table


def _overview(run: Run, tried: Sequence[Measurement]) -> dict[str, list[str]]:
    columns = {"host": [m.host or "" for m in tried]} if run.has_hosts else {}
    columns |= {
        "samples/s": [
            quantity.rate(m.samples_per_s) if m.ok else summary.status(m.status) for m in tried
        ],
        "±": [quantity.uncertainty(m.samples_per_s.relative_half_width) for m in tried],
        STEP: quantity.aligned([_median(m, STEP) for m in tried]),
    }
    if run.speedups:
        columns["speed-up"] = [
            quantity.NOTHING if m.parity.failed else summary.speedup(run, m) for m in tried
        ]
    if any(m.parity.compared for m in tried):
        columns["parity"] = [parity.short(m.parity) for m in tried]
    if any(m.bottleneck is not None for m in tried):
        columns[BOTTLENECK] = [bottleneck.short(m) for m in tried]
    return columns


def _phases(run: Run, tried: Sequence[Measurement]) -> dict[str, list[str]]:
    return {
        phase: quantity.aligned([_median(m, phase) for m in tried]) for phase in run.phase_names
    }


def _style(measurement: Measurement) -> str:
    if measurement.parity.failed:
        return "red"
    if measurement.ok:
        return ""
    return "yellow" if measurement.status == Status.UNSUPPORTED else "red"


def _layouts(columns: Columns, room: int) -> list[tuple[dict[str, str], int]]:
    """The layouts that fit, the widest first: the heads, and the spaces before each column."""
    unsplit = {name: name for name in columns}
    split = {name: SPLIT_HEADS.get(name, name) for name in columns}
    layouts = [(unsplit, 2), (unsplit, 1), (split, 2), (split, 1)]
    return [(heads, gap) for heads, gap in layouts if _width(columns, heads, gap) <= room]


def _layout(columns: Columns, room: int) -> tuple[dict[str, str], int]:
    """The widest layout that fits; the narrowest one if none does."""
    narrowest = ({name: SPLIT_HEADS.get(name, name) for name in columns}, 1)
    return next(iter(_layouts(columns, room)), narrowest)


def _width(columns: Columns, heads: Mapping[str, str], gap: int) -> int:
    return sum(gap + _column_width(heads[name], cells) for name, cells in columns.items())


def _column_width(head: str, cells: Sequence[str]) -> int:
    return max(map(len, (*head.split("\n"), *cells)))


def _median(measurement: Measurement, phase: str) -> str:
    median = measurement.medians.get(phase)
    return quantity.NOTHING if median is None else quantity.milliseconds(median)
