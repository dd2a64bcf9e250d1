"""The section on the loader alone: its rate and start-up, and waits for it in training."""

from stepbench_reports.analysis.stats import point
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.phases import Phase
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import Section
from stepbench_reports.wording import quantity

TABLE_BYTES = 2_500


def section(run: Run) -> Section | None:
    """A row for each case whose loader was measured alone."""
    measured = [m for m in run.measured if m.findings is not None and m.findings.loader is not None]
    if not measured:
        return None
    columns: dict[str, tables.Column] = {
        "samples/s": lambda m: quantity.rate(point(m.loader_samples_per_s)),
        "batches": lambda m: tables.count(m.loader_value(lambda each: each.batches)),
        "start": lambda m: quantity.seconds(m.loader_value(lambda each: each.start_s)),
        "restart": lambda m: quantity.seconds(m.loader_value(lambda each: each.restart_s)),
        "prefetched": lambda m: tables.count(m.loader_value(lambda each: each.ready)),
        "noise": tables.noise(lambda m: m.loader_interference),
        "wait, ms/step": lambda m: _mean_ms(m, "host"),
        "starved, ms/step": lambda m: _mean_ms(m, "device"),
    }
    lead = (
        "Measured with nothing else running. Start: the time from creating the iterator to the "
        "first batch. Restart: the same at the end of an epoch, which includes stopping the old "
        "workers. Prefetched: the number of batches that workers prepare ahead. Wait: the mean "
        "`dataload` in training."
    )
    if any(m.clock == "device" for m in measured):
        lead += " Starved: the same on the device's clock, when the device has nothing to do."
    table = tables.case_table(run, measured, columns, TABLE_BYTES)
    return Section("The loader alone", lead, table)


def _mean_ms(measurement: Measurement, clock: str) -> str:
    return quantity.milliseconds(point(measurement.mean_lap(Phase.DATALOAD, clock)))
