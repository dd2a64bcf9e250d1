"""The section on controls: phases that compilation cannot touch, compared like speed-ups."""

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import Section
from stepbench_reports.wording import doubts, quantity

TABLE_BYTES = 1_500


def section(run: Run) -> Section | None:
    """A row for each speed-up that has a control."""
    cases = [m for m in run.measured if m.id in run.controls]
    if not cases:
        return None
    lead = (
        "The time of making batches in the training process (`dataload` without loader workers), "
        "which compiling cannot touch: that of the uncompiled case / that of the compiled one, "
        "with its 95 % interval. It should be 1.00. The difference as a share of the uncompiled "
        "step has an interval that holds with 99 % for all controls of the run together. The "
        f"speed-up is doubtful ({doubts.MARK}) if it lies wholly beyond 3 %."
    )

    def ratio(measurement: Measurement) -> str:
        return quantity.times_range(run.controls[measurement.id].ratio)

    def effect(measurement: Measurement) -> str:
        control = run.controls[measurement.id]
        mark = doubts.MARK if control.doubtful else ""
        return f"{quantity.percent_change(control.effect)} {mark}".rstrip()

    columns = {"dataload, off / compiled": ratio, "of the step": effect}
    return Section("Controls", lead, tables.case_table(run, cases, columns, TABLE_BYTES))
