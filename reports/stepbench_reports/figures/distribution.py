"""The figure of step durations: their distribution, and their course over time."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stepbench_reports.figures.style import FAINT, INK, WIDTH_IN, Drawing, colour
from stepbench_reports.read.run import Run
from stepbench_reports.schema.phases import STEP
from stepbench_reports.wording import summary

MAX_CASES = 16
"""The maximum number of cases that are drawn."""
ROW_IN, HEAD_IN, FOOT_IN = 0.5, 0.35, 0.25
CHARACTER_IN = 0.075
"""The approximate width of a character of a label, inches."""
BINS = 40
MAX_DOTS = 1000
SHOWN_QUANTILES = (0.01, 0.99)
"""The quantiles at the ends of a row's scale; single long steps would compress the rest."""


def draw(run: Run) -> Drawing | None:
    """Draws a row for each case: a histogram of the steps, and the steps in order of time."""
    measured = run.measured
    shown = measured[:MAX_CASES]
    if not shown:
        return None
    names = [summary.name(run, m) for m in shown]
    height = HEAD_IN + FOOT_IN + ROW_IN * len(shown)
    figure = Figure(figsize=(WIDTH_IN, height))
    rows = figure.subplots(
        len(shown), 2, squeeze=False, gridspec_kw={"width_ratios": (1, 1.4), "wspace": 0.12}
    )
    # The constrained layout would take seconds for this many axes.
    left = min(0.4, (0.1 + CHARACTER_IN * max(map(len, names))) / WIDTH_IN)
    figure.subplots_adjust(
        left=left, right=0.99, bottom=FOOT_IN / height, top=1 - HEAD_IN / height, hspace=0.6
    )
    for (histogram, order), m, name in zip(rows, shown, names, strict=True):
        steps = np.asarray(m.laps[m.clock][STEP], dtype=np.float64) * 1e3
        _row(histogram, order, steps, name)
    for axes, title in zip(rows[0], ("histogram, ms", "in order of time, ms"), strict=True):
        axes.set_title(title, fontsize=9, fontweight="normal")
    left_out = (
        f" The first {MAX_CASES} of {len(measured)} cases." if len(measured) > MAX_CASES else ""
    )
    return Drawing(
        "Distribution of steps",
        "Each case's lapped steps. Left: a histogram of the durations from the 1st to the 99th "
        "percentile; a second peak is a second mode. Right: the durations in order of time; a "
        f"slope is a drift. The line marks the median.{left_out}",
        figure,
    )


def _row(histogram: Axes, order: Axes, steps: NDArray[np.float64], name: str) -> None:
    low, high = (float(end) for end in np.quantile(steps, SHOWN_QUANTILES))
    span = (low, high) if high > low else (low * 0.99, low * 1.01)
    median = float(np.median(steps))
    histogram.hist(steps, bins=BINS, range=span, color=colour(0))
    histogram.axvline(median, color=INK, linewidth=0.8)
    histogram.set_yticks([])
    histogram.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    histogram.locator_params(axis="x", nbins=4)
    stride = -(-len(steps) // MAX_DOTS)
    order.plot(range(0, len(steps), stride), steps[::stride], ".", markersize=2, color=colour(0))
    order.axhline(median, color=INK, linewidth=0.8)
    order.set_ylim(span)
    order.set_xticks([])
    order.locator_params(axis="y", nbins=3)
    for axes in (histogram, order):
        axes.tick_params(labelsize=7, pad=1)
        axes.spines[:].set_color(FAINT)
