"""The section on operations: a step's FLOPs and bytes, and the machine's peak throughput."""

from collections.abc import Iterator

from stepbench_reports.analysis.stats import point
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.numbers import number
from stepbench_reports.read.run import Run
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import CASE_FILES, Section
from stepbench_reports.wording import quantity, summary
from stepbench_reports.wording.markup import escaped, within

TABLE_BYTES = 2_500
REASONS_BYTES = 1_250


def section(run: Run) -> Section | None:
    """A row for each case whose operations were counted, beside the device's peak throughput."""
    columns: dict[str, tables.Column] = {
        "GFLOP/step": lambda m: quantity.giga(m.flops),
        "GFLOP/s": lambda m: quantity.giga(m.flops_per_s),
        "of roof": lambda m: quantity.percent(run.share_of_roof(m)),
        "FLOP/B": lambda m: quantity.number(m.intensity),
        "ridge, FLOP/B": lambda m: quantity.number(
            run.ridge(m.axes.get("device"), m.axes.get("precision"), m.host)
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
        "that their operators read and write, counted on the eager model in a separate pass. "
        "GFLOP/s are per second of the mean step, which includes the optimizer and all waiting. "
        "The roof is the lower one of the peak, and FLOP/B times the bandwidth of a copy: memory "
        "limits cases below the ridge, compute limits those above it. Bytes that come from the "
        "cache instead, because a step's tensors fit it, can lift a case above its roof. Saved: "
        f"the tensors that autograd saves in one forward pass. {_peaks(run)}"
    )
    lines, left_out = within(REASONS_BYTES, reasons)
    table = tables.case_table(run, counted, columns, TABLE_BYTES) if counted else None
    return Section("Operations and roofline", lead, table, CASE_FILES, tuple(lines), left_out)


def _saved_bytes(measurement: Measurement) -> float:
    """The size of what autograd saves in one forward pass, bytes; NaN if unknown."""
    return measurement.value(lambda f: f.memory.saved_bytes)


def _uncounted(run: Run) -> Iterator[str]:
    """A line for each reason why operations could not be counted, with the cases concerned."""
    by_reason: dict[str, list[Measurement]] = {}
    for m in run.measured:
        reason = None if m.findings is None else m.findings.work.reason
        if reason:
            by_reason.setdefault(reason, []).append(m)
    for reason, cases in by_reason.items():
        yield f"- not counted in {escaped(summary.names(run, cases))}: {escaped(reason)}"


def _peaks(run: Run) -> str:
    """The peak throughput of each device, in words."""
    devices = dict.fromkeys((str(m.axes.get("device")), m.host) for m in run.measured)
    texts = (_peak(run, device, host) for device, host in devices)
    sentences = [text for text in texts if text][: summary.MAX_NAMED]
    return (
        " ".join(sentences)
        or "The machine's peak throughput was not measured, so shares of it are unknown."
    )


def _peak(run: Run, device: str, host: str | None) -> str:
    peaks = run.machine_peaks(device, host)
    if peaks is None:
        return ""
    parts = [
        f"{quantity.giga(flops)} GFLOP/s in {precision} matrix products"
        for precision, flops in peaks.matmul_flops_per_s.items()
        if flops is not None and flops > 0
    ]
    bandwidth = quantity.giga(peaks.copy_bytes_per_s)
    if bandwidth:
        parts.append(f"{bandwidth} GB/s of memory read and written")
    images_per_s = number(peaks.decoded_images_per_s)
    if images_per_s > 0:
        parts.append(f"{quantity.rate(point(images_per_s))} JPEG files/s decoded by one core")
    if number(peaks.cache_bytes) > 0:
        parts.append(f"{quantity.mebibytes(number(peaks.cache_bytes))} MiB of cache")
    threads = f" with {peaks.threads} threads" if peaks.threads > 0 else ""
    on_host = f" of {host}" if host is not None and run.has_hosts else ""
    text = f"Peak throughput of {device}{on_host}{threads}: {', '.join(parts)}."
    return escaped(text) if parts else ""
