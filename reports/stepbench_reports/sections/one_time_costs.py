"""The section on figures taken once per case: start, first step, warm-up, peak memory."""

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import Section
from stepbench_reports.wording import quantity
from stepbench_reports.wording.markup import Grid

TABLE_BYTES = 3_500


def section(run: Run) -> Section | None:
    """A row for each case: start, first step, warm-up, peak memory."""
    if not run.measured:
        return None
    lead = (
        "The first step includes kernel selection, the growth of memory pools and, in compiled "
        "cases, compilation with a warm cache. The figures above include none of this. "
        "lapped / bare: the time of steps with laps divided by that of steps without."
    )
    if any(m.uses_cuda_graphs for m in run.measured):
        lead += (
            " The device's peak is allocated memory; in cases with CUDA graphs, whose memory does "
            "not count as allocated, it is reserved memory."
        )
    return Section("One-time costs and peak memory", lead, _table(run))


def _table(run: Run) -> Grid:
    columns: dict[str, tables.Column] = {
        "process start": lambda m: quantity.seconds(m.start_s),
        "first step": lambda m: quantity.seconds(m.value(lambda f: f.first_step_s)),
        "warm-up": _warmup,
        "host peak, MiB": lambda m: quantity.mebibytes(m.value(lambda f: f.memory.host_peak_bytes)),
        "device peak, MiB": lambda m: quantity.mebibytes(m.device_peak_bytes),
        "warm-up peak, MiB": lambda m: quantity.mebibytes(m.warmup_peak_bytes),
        "lapped / bare": lambda m: quantity.times(m.lap_cost),
        "total": lambda m: quantity.seconds(m.elapsed_s),
    }
    return tables.case_table(run, run.measured, columns, TABLE_BYTES)


def _warmup(measurement: Measurement) -> str:
    steps = tables.count(measurement.value(lambda f: f.warmup.steps))
    elapsed = quantity.seconds(measurement.value(lambda f: f.warmup.elapsed_s))
    return f"{steps} steps, {elapsed}" if steps and elapsed else steps or elapsed
