"""The section on traces: the files that profiling wrote, and the tools that open them."""

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.status import Status
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import PROFILES, Section
from stepbench_reports.wording import quantity, summary
from stepbench_reports.wording.markup import code, escaped, within

TABLE_BYTES = 2_500
REASONS_BYTES = 2_500


def section(run: Run) -> Section | None:
    """A row for each profiled case: file sizes, number of events, and totals from the trace."""
    if not run.profiled:
        return None
    columns: dict[str, tables.Column] = {
        "trace, KiB": lambda m: _kibibytes(m.profile.trace_bytes),
        "events": lambda m: tables.count(m.profile.trace_events),
        "TensorBoard, KiB": lambda m: _kibibytes(m.profile.board_bytes),
        "profiled step, ms": lambda m: quantity.number(m.profile.step_s * 1e3, max_digits=3),
        "peak memory, MiB": _memory_peak,
        "device idle": lambda m: quantity.percent(m.profile.device_idle),
        "memory snapshot, KiB": lambda m: _kibibytes(m.profile.snapshot_bytes),
    }
    reasons = [
        f"- {code(m.id)}: {escaped(m.profile.reason or str(m.profile.status))}"
        for m in run.profiled
        if m.profile.status != Status.OK
    ] + [
        f"- {escaped(summary.name(run, m))}: no {escaped(tab.replace('_', ' '))}: {escaped(reason)}"
        for m in run.profiled
        for tab, reason in m.profile.left_out.items()
    ]
    lines, left_out = within(REASONS_BYTES, reasons)
    lead = (
        f"{code('stepbench tensorboard RUN')} (or {code('tensorboard --logdir RUN/tb')}) opens all "
        f"traces, with training curves, settings and results, graph, embeddings and more. The "
        f"directory {code('traces/')} of the run holds the traces as the profiler wrote them, for "
        f"ui.perfetto.dev. Those in {code('tb/')} are rewritten so that TensorBoard's profiler tab "
        f"shows them correctly."
    )
    table = tables.case_table(run, run.profiled, columns, TABLE_BYTES)
    return Section("Traces", lead, table, PROFILES, tuple(lines), left_out)


def _kibibytes(size_bytes: float) -> str:
    return tables.count(size_bytes / 2**10)


def _memory_peak(measurement: Measurement) -> str:
    peaks = measurement.profile.memory_peak_bytes
    several_devices = len(peaks) > 1
    return ", ".join(
        f"{device} " * several_devices + quantity.mebibytes_fine(peak)
        for device, peak in peaks.items()
    )
