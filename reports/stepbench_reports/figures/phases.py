"""The figure of a step's phases: a stacked bar for each case."""

import math

from stepbench_reports.figures.style import LINE_IN, Drawing, canvas, phase_colour
from stepbench_reports.read.run import Run
from stepbench_reports.wording import summary

MAX_CASES = 40
"""The maximum number of cases that are drawn; the table has all."""


def draw(run: Run) -> Drawing | None:
    """Draws the mean step of each case by phase; `None` if nothing was measured."""
    measured = [m for m in run.measured if math.isfinite(m.mean_step.value)]
    shown = measured[:MAX_CASES]
    if not shown:
        return None
    figure, (axes,) = canvas(1.1 + LINE_IN * len(shown))
    left = [0.0] * len(shown)
    for number, phase in enumerate(run.phase_names):
        lengths = [m.shares.get(phase, 0.0) * m.mean_step.value * 1e3 for m in shown]
        colour = phase_colour(phase, number)
        axes.barh(range(len(shown)), lengths, left=left, color=colour, label=phase, height=0.72)
        left = [begin + length for begin, length in zip(left, lengths, strict=True)]
    axes.set_yticks(range(len(shown)), [summary.name(run, m) for m in shown])
    axes.invert_yaxis()
    axes.set_xlabel("mean step, ms")
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5)
    left_out = (
        f" The first {MAX_CASES} of {len(measured)} cases." if len(measured) > MAX_CASES else ""
    )
    return Drawing(
        "Where a step's time goes",
        f"The mean step of each case, split by its phases' shares of the lapped steps.{left_out}",
        figure,
    )
