"""Peak memory against batch size."""

from collections.abc import Callable, Mapping

from stepbench_reports.figures.scaling import MOST, lines, position
from stepbench_reports.figures.style import FAINT, Drawing, canvas, colour, counts, marker
from stepbench_reports.read import measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.measurement import Findings
from stepbench_reports.wording import naming

_PEAKS: Mapping[str, Callable[[Findings], float | None]] = {
    "device": lambda findings: findings.memory.device_peak_allocated_bytes,
    "host": lambda findings: findings.memory.host_peak_bytes,
}


def draw(run: Run) -> Drawing | None:
    """Draws the peaks of host and device; `None` without peaks or with one batch size only."""
    found = list(lines(run, "batch_size").values())
    if not found:
        return None
    peaks = {
        kind: of
        for kind, of in _PEAKS.items()
        if any(m.value(of) > 0 for line in found for m in line)
    }
    if not peaks:
        return None
    figure, panels = canvas(3.8, len(peaks))
    everywhere = [m for line in found for m in line]
    varying = [n for n in measurement.varying(run.axis_names, everywhere) if n != "batch_size"]
    for axes, (kind, of) in zip(panels, peaks.items(), strict=True):
        for number, line in enumerate(found[:MOST]):
            axes.plot(
                [position(m, "batch_size") for m in line],
                [m.value(of) / 2**20 for m in line],
                color=colour(number), marker=marker(number),
                label=naming.label(line[0].axes, varying) or line[0].id,
            )  # fmt: skip
        counts(axes, [position(m, "batch_size") for m in everywhere])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("batch size")
        axes.set_ylabel(f"{kind} peak, MiB")
        axes.grid(color=FAINT)
    panels[0].legend(fontsize=9, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return Drawing(
        "Memory against batch size",
        "The host's peak is the proportional share (PSS) of the case's whole process tree, loader "
        "workers included; a device's is what its allocator had given out.",
        figure,
    )
