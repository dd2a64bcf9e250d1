"""The section on work: a step's FLOPs and bytes, compared with the machine's peak throughput."""

from collections.abc import Iterator

from stepbench_reports.analysis.stats import point
from stepbench_reports.read.measurement import Measurement, number
from stepbench_reports.read.run import Run
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import CASE_FILES, Section
from stepbench_reports.wording import quantity, summary
from stepbench_reports.wording.markup import escaped, within

TABLE_BYTES = 2_500
REASONS_BYTES = 1_250


def section(run: Run) -> Section | None:
    """A row for each case whose work was counted, compared with the device's peak throughput."""
    columns: dict[str, tables.Column] = {
        "GFLOP a step": lambda m: quantity.giga(m.flops),
        "GFLOP/s": lambda m: quantity.giga(m.flops_per_s),
        "of the ceiling": lambda m: quantity.percent(run.share_of_ceiling(m)),
        "FLOP/B": lambda m: quantity.number(m.intensity),
        "ridge, FLOP/B": lambda m: quantity.number(
            run.ridge(m.axes.get("device"), m.axes.get("precision"))
        ),
        "operators": lambda m: tables.count(m.value(lambda f: f.work.operators) * m.micro_batches),
        "saved, MiB": lambda m: quantity.number(_saved_bytes(m) / 2**20),
    }
    counted = [m for m in run.measured if m.flops >= 0 or _saved_bytes(m) >= 0]
    reasons = list(_uncounted(run))
    if not counted and not reasons:
        return None
    lead = (
        "Floating-point operations of forward and backward (2 for a multiply-add), and the bytes "
        "that their operators read and write, counted on the eager model in a pass of its own; per "
        "second of the mean step, with the optimizer and every wait in it. Below the ridge, memory "
        "is the ceiling and not arithmetic. Saved is what autograd keeps of one forward pass. "
        f"{_ceilings(run)}"
    )
    lines, left_out = within(REASONS_BYTES, reasons)
    table = tables.filled(run, counted, columns, TABLE_BYTES) if counted else None
    return Section("Work and the roofline", lead, table, CASE_FILES, tuple(lines), left_out)


def _saved_bytes(measurement: Measurement) -> float:
    """The size of what autograd saves in one forward pass, bytes; NaN if unknown."""
    return measurement.value(lambda f: f.memory.saved_bytes)


def _uncounted(run: Run) -> Iterator[str]:
    """A line for each reason why work could not be counted, with the cases concerned."""
    by_reason: dict[str, list[Measurement]] = {}
    for m in run.measured:
        reason = None if m.findings is None else m.findings.work.reason
        if reason:
            by_reason.setdefault(reason, []).append(m)
    for reason, found in by_reason.items():
        yield f"- not counted in {escaped(summary.names(run, found))}: {escaped(reason)}"


def _ceilings(run: Run) -> str:
    """The peak throughput of each device, in words."""
    devices = dict.fromkeys(str(m.axes.get("device")) for m in run.measured)
    told = [text for device in devices if (text := _ceiling(run, device))]
    return (
        " ".join(told) or "The machine's ceilings were not measured, so there is no share of them."
    )


def _ceiling(run: Run, device: str) -> str:
    peaks = run.ceilings(device)
    if peaks is None:
        return ""
    parts = [
        f"{quantity.giga(flops)} GFLOP/s in matrix products of {precision}"
        for precision, flops in peaks.matmul_flops_per_s.items()
        if flops is not None and flops > 0
    ]
    copied = quantity.giga(peaks.copy_bytes_per_s)
    if copied:
        parts.append(f"{copied} GB/s of memory read and written")
    decoded = number(peaks.decoded_images_per_s)
    if decoded > 0:
        parts.append(f"{quantity.rate(point(decoded))} JPEG files/s decoded by one core")
    how = f" with {peaks.threads} threads" if peaks.threads > 0 else ""
    return escaped(f"{device} reaches at best{how}: {', '.join(parts)}.") if parts else ""
