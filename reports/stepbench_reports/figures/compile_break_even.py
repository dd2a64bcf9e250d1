"""The figure of compiled against eager steps: speed-ups, and steps until compiling pays off."""

import math

from stepbench_reports.figures.style import FAINT, LINE_IN, Drawing, canvas, colour, whiskers
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.wording import quantity, summary

MOST = 40


def draw(run: Run) -> Drawing | None:
    """Draws speed-ups with their intervals; `None` if no case has a speed-up."""
    compared = [m for m in run.measurements if m.id in run.speedups][:MOST]
    if not compared:
        return None
    figure, (axes,) = canvas(1.1 + 1.2 * LINE_IN * len(compared))
    ratios = [run.speedups[m.id].ratio for m in compared]
    rows = range(len(compared))
    for row, (m, ratio) in enumerate(zip(compared, ratios, strict=True)):
        lost = m.parity.lost
        axes.errorbar(
            ratio.value, row, xerr=[[end[0]] for end in whiskers([ratio])],
            fmt="x" if lost else "o", color=FAINT if lost else colour(0), capsize=3,
        )  # fmt: skip
        axes.annotate(
            "trains another model" if lost else _paid(run, m),
            (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=9,
        )  # fmt: skip
    axes.axvline(1, color=FAINT, linewidth=1)
    axes.set_yticks(rows, [summary.name(run, m) for m in compared])
    axes.invert_yaxis()
    axes.set_xlabel(f"eager step / compiled step ({quantity.TIMES} as fast)")
    axes.grid(axis="x")
    return Drawing(
        "Compiled against eager",
        "Speed-up over the same case without torch.compile, with its 95 % interval. On the right, "
        "after how many steps the time that compiling took from an empty cache has been won back; "
        "where the interval holds 1, that is not decided.",
        figure,
    )


def break_even_steps(run: Run, measurement: Measurement) -> float:
    """The number of steps after which the time saved equals the time of a cold compilation.

    Infinity if compiled steps are not faster; NaN if the number is unknown.
    """
    found = run.speedups.get(measurement.id)
    compile_s = measurement.cold_compile_s
    step_s = measurement.mean_step.value
    if found is None or not math.isfinite(compile_s) or not step_s > 0:
        return math.nan
    saved_s = step_s * (found.ratio.value - 1)
    return math.ceil(round(compile_s / saved_s, 6)) if saved_s > 0 else math.inf


def _paid(run: Run, measurement: Measurement) -> str:
    steps, ratio = break_even_steps(run, measurement), run.speedups[measurement.id].ratio
    if math.isnan(steps):
        return ""
    if ratio.low <= 1 <= ratio.high:
        return "not decided"
    if math.isinf(steps):
        return "never pays"
    return f"pays after {quantity.number(steps, steps * 0.1, 2)} steps"
