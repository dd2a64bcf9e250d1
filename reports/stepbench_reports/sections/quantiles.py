"""The section on quantiles: the distribution of every phase of every case."""

from collections.abc import Hashable, Mapping
from typing import Any

from stepbench_reports.analysis.stats import Interval
from stepbench_reports.read.run import Run
from stepbench_reports.schema.phases import STEP
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import PHASES_CSV, Section
from stepbench_reports.wording import quantity
from stepbench_reports.wording.markup import Grid, escaped, grid

TABLE_BYTES = 7_000


def section(run: Run) -> Section | None:
    """A row for each case and phase, by the case's main clock (`Measurement.clock`)."""
    if not run.measured:
        return None
    return Section("Quantiles of every phase, ms", "", _table(run), PHASES_CSV)


def _table(run: Run) -> Grid:
    heads, alignment = tables.case_columns(run, [m for m in run.measurements if m.axes])
    figures = ["n", "5 %", "median", "95 % interval", "mean", "95 %", "share"]
    cells = {m.id: (m, tables.case_cells(run, m)) for m in run.measured}
    rows = []
    for row in run.phases.to_dict("records"):
        measurement, names = cells[row["case"]]
        phase = str(row["phase"])
        if row["clock"] == measurement.clock:
            share = "" if phase == STEP else quantity.percent(row["share"])
            rows.append([*names, escaped(phase), *_spread(row), share])
    return grid(
        [*heads, "phase", *figures],
        f"{alignment}l{'r' * len(figures)}",
        rows,
        TABLE_BYTES,
    )


def _spread(row: Mapping[Hashable, Any]) -> list[str]:
    """A phase's quantiles in ms, all with the digits of the median."""
    median_ms = Interval(*(row[name] * 1e3 for name in ("median_s", "low_s", "high_s")))

    def ms(name: str) -> str:
        return quantity.number(row[name] * 1e3, median_ms.half_width)

    span = quantity.span(median_ms)
    return [str(row["n"]), ms("p05_s"), ms("median_s"), span, ms("mean_s"), ms("p95_s")]
