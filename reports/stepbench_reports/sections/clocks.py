"""The section on clocks: medians by the host's clock and by the device's, side by side."""

from stepbench_reports.read.measurement import CLOCKS, Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.phases import STEP
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import PHASES_CSV, Section
from stepbench_reports.wording import quantity

TABLE_BYTES = 1_500


def section(run: Run) -> Section | None:
    """A row for each case with laps by both clocks: the medians of every phase, host / device."""
    cases = [m for m in run.measured if set(CLOCKS) <= m.laps.keys()]
    if not cases:
        return None
    columns = {phase: _both_clocks(phase) for phase in (*run.phase_names, STEP)}
    lead = (
        "Medians in ms, host / device: the time that Python spent in a phase, and the time that "
        "the device's stream spent. Python runs ahead of the device and waits for it at some "
        "point. A lap that is long on the host alone is such a wait."
    )
    table = tables.case_table(run, cases, columns, TABLE_BYTES)
    return Section("Host and device", lead, table, PHASES_CSV)


def _both_clocks(phase: str) -> tables.Column:
    def column(measurement: Measurement) -> str:
        by_clock = [measurement.laps[clock].get(phase) for clock in CLOCKS]
        if all(laps is None for laps in by_clock):
            return quantity.NOTHING
        return " / ".join(
            quantity.DASH if laps is None else quantity.milliseconds(measurement.turns.median(laps))
            for laps in by_clock
        )

    return column
