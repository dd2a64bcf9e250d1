"""The section on micro-batches: medians by a micro-batch's position in the step."""

import numpy as np

from stepbench_reports.analysis.stats import point
from stepbench_reports.read.numbers import Track
from stepbench_reports.read.run import Run
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import Section
from stepbench_reports.wording import quantity
from stepbench_reports.wording.markup import grid

TABLE_BYTES = 1_500
MAX_POSITIONS = 8
"""The number of positions that have a column each; later positions share one column."""


def section(run: Run) -> Section | None:
    """A row for each case and phase with laps per micro-batch."""
    cases = [m for m in run.measured if m.micro_laps]
    if not cases:
        return None
    micro_batches = max(laps.shape[1] for m in cases for laps in m.micro_laps.values())
    shown = min(micro_batches, MAX_POSITIONS)
    heads, alignment = tables.case_columns(run, [m for m in run.measurements if m.axes])
    later = [f"{shown + 1} and later"] if micro_batches > shown else []
    rows = [
        [*tables.case_cells(run, m), phase, *_positions(laps, shown, later=bool(later))]
        for m in cases
        for phase, laps in m.micro_laps.items()
    ]
    positions = [*(str(position) for position in range(1, shown + 1)), *later]
    lead = (
        "Medians in ms by the position of the micro-batch in its step. The first backward pass of "
        "a step allocates the gradients; later ones add to them."
    )
    table = grid(
        [*heads, "phase", *positions],
        f"{alignment}l{'r' * len(positions)}",
        rows,
        TABLE_BYTES,
    )
    return Section("Micro-batches", lead, table)


def _positions(laps: Track, shown: int, *, later: bool) -> list[str]:
    """The median of each of the first `shown` positions, and of all later ones together, in ms.

    `laps` has the shape (steps, micro-batches).
    """
    parts = [laps[:, i : i + 1] for i in range(shown)] + ([laps[:, shown:]] if later else [])
    return [
        quantity.milliseconds(point(float(np.median(part)))) if part.size else quantity.NOTHING
        for part in parts
    ]
