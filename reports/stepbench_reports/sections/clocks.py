"""The section on clocks: medians by the host's clock and by the device's, side by side."""

from stepbench_reports.analysis.stats import median_interval
from stepbench_reports.read.measurement import CLOCKS, Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.phases import STEP
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import PHASES_CSV, Section
from stepbench_reports.wording import quantity

TABLE_BYTES = 1_500


def section(run: Run) -> Section | None:
    """A row for each case with laps by both clocks: the medians of every phase, host / device."""
    both = [m for m in run.measured if set(CLOCKS) <= m.laps.keys()]
    if not both:
        return None
    columns = {phase: _both_clocks(phase) for phase in (*run.phase_names, STEP)}
    lead = (
        "Medians in ms, host / device. The host's clock tells how long Python spent in a phase; "
        "the device's, how long its stream did. Python runs ahead and waits somewhere: a long lap "
        "of the host alone is that wait."
    )
    table = tables.filled(run, both, columns, TABLE_BYTES)
    return Section("Host and device", lead, table, PHASES_CSV)


def _both_clocks(phase: str) -> tables.Column:
    def column(measurement: Measurement) -> str:
        found = [measurement.laps[clock].get(phase) for clock in CLOCKS]
        if all(laps is None for laps in found):
            return quantity.NOTHING
        return " / ".join(
            quantity.DASH if laps is None else quantity.milliseconds(median_interval(laps))
            for laps in found
        )

    return column
