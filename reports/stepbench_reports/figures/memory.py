"""The figure of peak memory by batch size."""

from collections.abc import Callable, Mapping

from stepbench_reports.figures.scaling import (
    HEADROOM,
    MAX_LINES,
    legend,
    line_label,
    lines,
    position,
)
from stepbench_reports.figures.style import FAINT, Drawing, canvas, colour, log_ticks, marker
from stepbench_reports.read.axis_values import varying
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run

_PEAKS: Mapping[str, Callable[[Measurement], float]] = {
    "device": lambda m: m.device_peak_bytes,
    "host": lambda m: m.value(lambda findings: findings.memory.host_peak_bytes),
}


def draw(run: Run) -> Drawing | None:
    """Draws the peaks of host and device; `None` without peaks or with one batch size only."""
    by_axes = list(lines(run, "batch_size").values())
    if not by_axes:
        return None
    peaks = {
        kind: peak_bytes
        for kind, peak_bytes in _PEAKS.items()
        if any(peak_bytes(m) > 0 for line in by_axes for m in line)
    }
    if not peaks:
        return None
    figure, panels = canvas(3.8, len(peaks))
    all_cases = [m for line in by_axes for m in line]
    other_axes = [n for n in varying(run.axis_names, all_cases) if n != "batch_size"]
    for axes, (kind, peak_bytes) in zip(panels, peaks.items(), strict=True):
        for number, line in enumerate(by_axes[:MAX_LINES]):
            axes.plot(
                [position(m, "batch_size") for m in line],
                [peak_bytes(m) / 2**20 for m in line],
                color=colour(number), marker=marker(number),
                label=line_label(line, other_axes),
            )  # fmt: skip
        log_ticks(axes, [position(m, "batch_size") for m in all_cases])
        axes.set_ylim(0, HEADROOM * max(peak_bytes(m) for m in all_cases) / 2**20)
        axes.set_xlabel("batch size")
        axes.set_ylabel(f"{kind} peak, MiB")
        axes.grid(color=FAINT)
    legend(panels[0])
    return Drawing(
        "Peak memory by batch size",
        "The host's figure is the highest of readings every 20 ms: the resident memory of the "
        "case's process and what its loader workers add, with page-locked memory. The device's "
        "peak is the memory that PyTorch's allocator had allocated; with CUDA graphs, which do not "
        "count there, the memory that it had reserved.",
        figure,
    )
