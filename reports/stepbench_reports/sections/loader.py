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
    known = [m for m in run.measured if m.findings is not None]
    if not known:
        return None
    columns: dict[str, tables.Column] = {
        "samples/s": lambda m: quantity.rate(point(m.loader_samples_per_s)),
        "over batches": lambda m: tables.count(m.value(lambda f: f.loader.batches)),
        "start": lambda m: quantity.seconds(m.value(lambda f: f.loader.start_s)),
        "restart": lambda m: quantity.seconds(m.value(lambda f: f.loader.restart_s)),
        "kept ready": lambda m: tables.count(m.value(lambda f: f.loader.ready)),
        "noise": tables.noise(lambda m: m.loader_disturbed),
        "waited a step, ms": lambda m: _mean_ms(m, "host"),
        "starved a step, ms": lambda m: _mean_ms(m, "device"),
    }
    starved = " (and, starved, for how long the device had nothing to do)"
    lead = (
        "With nothing else running: its own rate; from making its iterator to the first batch; the "
        "same at an epoch's end, the old workers' end included; how many batches workers keep "
        "ready. Waited is the mean `dataload` seen in training"
        f"{starved if any(m.clock == 'device' for m in known) else ''}."
    )
    return Section("The loader by itself", lead, tables.filled(run, known, columns, TABLE_BYTES))


def _mean_ms(measurement: Measurement, clock: str) -> str:
    return quantity.milliseconds(point(measurement.mean_lap(Phase.DATALOAD, clock)))
