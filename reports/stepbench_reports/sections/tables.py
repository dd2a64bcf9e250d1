"""The tables of `report.md` that have a row for each case."""

import math
from collections.abc import Callable, Mapping, Sequence

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.phases import STEP
from stepbench_reports.wording import bottleneck, doubts, hosts, naming, parity, quantity, summary
from stepbench_reports.wording.markup import Grid, escaped, grid

CASES_BYTES = 11_000
"""The maximum size of the rows of the table of cases, bytes."""
PHASES_BYTES = 6_500
"""The maximum size of the rows of the table of phases, bytes."""

Column = Callable[[Measurement], str]
"""Makes a case's cell in a column; untrusted text in the cell is escaped."""


def cases(run: Run, size_bytes: int = CASES_BYTES) -> Grid:
    """Makes the table of cases tried: throughput, step, speed-up, parity, bottleneck, doubts.

    Args:
        run: The run.
        size_bytes: The maximum size of the rows, bytes.
    """
    tried = [m for m in run.measurements if m.axes]
    columns: dict[str, Column] = {
        **_host_columns(run),
        "samples/s": lambda m: (
            f"**{quantity.rate(m.samples_per_s)}**" if m.ok else escaped(summary.status(m.status))
        ),
        "±": lambda m: quantity.uncertainty(m.samples_per_s.relative_half_width),
        STEP: lambda m: quantity.milliseconds(m.step),
    }
    if run.speedups:
        columns["speed-up"] = lambda m: _speedup(run, m)
    if any(m.parity.compared for m in tried):
        columns["parity"] = lambda m: parity.cell(m.parity)
    if any(m.bottleneck is not None for m in tried):
        columns["bottleneck"] = bottleneck.cell
    if any(doubts.doubts(run, m) for m in tried):
        columns["doubt"] = lambda m: _doubt(run, m)
    rows = [
        [escaped(summary.name(run, m)), *(column(m) for column in columns.values())] for m in tried
    ]
    texts = len(_host_columns(run))
    alignment = "l" * (1 + texts) + "r" * (len(columns) - texts)
    return grid(["case", *columns], alignment, rows, size_bytes)


def _host_columns(run: Run) -> dict[str, Column]:
    """The host of each case and its hardware, if there is more than one host, or kind of them."""
    if not run.has_hosts:
        return {}
    columns: dict[str, Column] = {"host": lambda m: escaped(m.host or "")}
    kinds = {facts.name: hosts.hardware(facts) for facts in run.hosts}
    if len(set(kinds.values())) > 1:
        columns["hardware"] = lambda m: escaped(kinds.get(m.host or "", ""))
    return columns


def phases(run: Run, size_bytes: int = PHASES_BYTES) -> Grid:
    """Makes the table of phases: each one's median and share, for each measured case.

    Args:
        run: The run.
        size_bytes: The maximum size of the rows, bytes.
    """
    columns: dict[str, Column] = {
        **{phase: _median_and_share(phase) for phase in run.phase_names},
        STEP: lambda m: f"**{quantity.milliseconds(m.step)}**",
        "±": lambda m: quantity.uncertainty(m.step.relative_half_width),
    }
    return case_table(run, run.measured, columns, size_bytes)


def case_table(
    run: Run, measured: Sequence[Measurement], columns: Mapping[str, Column], size_bytes: int
) -> Grid:
    """Makes a table of cases, without the columns that are empty in every row.

    Args:
        run: The run.
        measured: The cases to show.
        columns: The function that makes a case's cell, by the column's head.
        size_bytes: The maximum size of the rows, bytes.
    """
    heads, alignment = case_columns(run, [m for m in run.measurements if m.axes])
    rows = [[column(m) for column in columns.values()] for m in measured]
    used = [i for i, _ in enumerate(columns) if any(row[i] for row in rows)]
    names = list(columns)
    return grid(
        [*heads, *(names[i] for i in used)],
        alignment + "r" * len(used),
        [
            [*case_cells(run, m), *(row[i] for i in used)]
            for m, row in zip(measured, rows, strict=True)
        ],
        size_bytes,
    )


def case_columns(run: Run, cases: Sequence[Measurement]) -> tuple[list[str], str]:
    """Heads and alignment of the columns that identify a case: one for each axis that varies."""
    names = summary.varying(run)
    if not names:
        return ["case"], "l"
    is_numeric = [all(_is_count(m.axes.get(name)) for m in cases) for name in names]
    return [naming.head(name) for name in names], "".join("r" if n else "l" for n in is_numeric)


def case_cells(run: Run, measurement: Measurement) -> list[str]:
    """A case's cells in the columns of `case_columns`."""
    names = summary.varying(run)
    if not names:
        return [escaped(measurement.id)]
    return [escaped(naming.cell(measurement.axes, name)) for name in names]


def count(number: float) -> str:
    """A number rounded to an integer; empty if it is not finite."""
    return f"{number:,.0f}" if math.isfinite(number) else quantity.NOTHING


def noise(interference: Callable[[Measurement], bool]) -> Column:
    """A column that marks figures that were measured under interference."""
    return lambda measurement: f"{doubts.MARK} interference" if interference(measurement) else ""


def _doubt(run: Run, measurement: Measurement) -> str:
    found = doubts.doubts(run, measurement)
    return f"{doubts.MARK} {', '.join(found)}" if found else ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _median_and_share(phase: str) -> Column:
    def column(measurement: Measurement) -> str:
        median = measurement.medians.get(phase)
        if median is None:
            return quantity.NOTHING
        share = quantity.percent(measurement.shares[phase])
        return (
            f"{quantity.milliseconds(median)} ({share})" if share else quantity.milliseconds(median)
        )

    return column


def _speedup(run: Run, measurement: Measurement) -> str:
    speedup = run.speedups.get(measurement.id)
    if speedup is None:
        return summary.speedup(run, measurement)
    ratio = quantity.times_range(speedup.interval)
    failed = measurement.parity.failed or run.bases[measurement.id].parity.failed
    return f"~~{ratio}~~" if failed else ratio
