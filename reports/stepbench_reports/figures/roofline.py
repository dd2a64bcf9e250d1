"""The roofline: the throughput of cases, below the machine's measured peak throughput.

Williams, Waterman, Patterson: Roofline, Communications of the ACM 52 (4), 2009.
"""

import math

import numpy as np
from matplotlib.axes import Axes

from stepbench_reports.figures.style import FAINT, INK, Drawing, canvas, colour, marker
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.wording import summary

MAX_NAMED = 12
"""The maximum number of points that a legend names; with more there is no legend."""
LINE_STYLES = ("-", "--", ":", "-.")


def draw(run: Run) -> Drawing | None:
    """Draws FLOP/s against FLOP per byte; `None` if no case or no peak is known."""
    counted = [m for m in run.measured if m.intensity > 0 and m.flops_per_s > 0]
    roofs = {
        (str(m.axes.get("device")), str(m.axes.get("precision")), m.host): m
        for m in counted
        if run.peak_flops_per_s(m.axes.get("device"), m.axes.get("precision"), m.host) > 0
    }
    if not counted or not roofs:
        return None
    figure, (axes,) = canvas(4.4)
    _points(run, counted, axes)
    intensities = [m.intensity for m in counted]
    ridges = [ridge for roof in roofs if math.isfinite(ridge := run.ridge(*roof))]
    low, high = min([*intensities, *ridges]) / 3, max([*intensities, *ridges]) * 3
    grid = np.geomspace(low, high, 100)
    for number, (device, precision, host) in enumerate(roofs):
        peak = run.peak_flops_per_s(device, precision, host)
        bandwidth = run.copy_bytes_per_s(device, host)
        roof = np.minimum(peak, grid * bandwidth) if bandwidth > 0 else np.full_like(grid, peak)
        style = LINE_STYLES[number % len(LINE_STYLES)]
        axes.plot(grid, roof / 1e9, color=INK, linewidth=1, linestyle=style)
        label = f"{device} {precision}" + (f" {host}" if run.has_hosts else "")
        above = number % 2 == 0  # two hosts are often nearly alike
        place = (high, peak / 1e9)
        va = "bottom" if above else "top"
        axes.annotate(label, place, ha="right", va=va, fontsize=9)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("FLOP per byte")
    axes.set_ylabel("GFLOP/s")
    axes.grid(color=FAINT)
    if len(counted) <= MAX_NAMED:
        axes.legend(fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return Drawing(
        "Roofline",
        "Floating-point operations of forward and backward per second of the whole step. The "
        "lines are this machine's peak throughput: memory bandwidth on the left, matrix products "
        "on the right. Bytes are an upper limit, so the true points may lie further to the right.",
        figure,
    )


def _points(run: Run, counted: list[Measurement], axes: Axes) -> None:
    if len(counted) > MAX_NAMED:
        points = [(m.intensity, m.flops_per_s / 1e9) for m in counted]
        axes.plot(*zip(*points, strict=True), "o", markersize=4, color=colour(0), alpha=0.6)
        return
    for number, m in enumerate(counted):
        axes.plot(
            m.intensity, m.flops_per_s / 1e9, marker(number), color=colour(number),
            label=summary.name(run, m),
        )  # fmt: skip
