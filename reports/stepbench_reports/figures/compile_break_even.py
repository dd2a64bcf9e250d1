"""The figure of speed-ups: of compiled steps over eager ones, or of a script's changed settings."""

import math

from stepbench_reports.figures.style import FAINT, LINE_IN, Drawing, canvas, colour, whiskers
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.wording import break_even, quantity, summary

MAX_CASES = 40


def draw(run: Run) -> Drawing | None:
    """Draws speed-ups with their intervals; `None` if no case has a speed-up."""
    compared = [m for m in run.measurements if m.id in run.speedups][:MAX_CASES]
    if not compared:
        return None
    figure, (axes,) = canvas(1.1 + 1.2 * LINE_IN * len(compared))
    ratios = [run.speedups[m.id].interval for m in compared]
    rows = range(len(compared))
    for row, (m, ratio) in enumerate(zip(compared, ratios, strict=True)):
        failed = m.parity.failed
        axes.errorbar(
            ratio.value, row, xerr=[[end[0]] for end in whiskers([ratio])],
            fmt="x" if failed else "o", color=FAINT if failed else colour(0), capsize=3,
        )  # fmt: skip
        axes.annotate(
            "fails parity" if failed else _remark(run, m),
            (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=9,
        )  # fmt: skip
    axes.axvline(1, color=FAINT, linewidth=1)
    axes.set_yticks(rows, [summary.name(run, m) for m in compared])
    axes.invert_yaxis()
    axes.grid(axis="x")
    if run.unchanged_script is not None:
        axes.set_xlabel(f"samples/s, as a multiple of the unchanged script's ({quantity.TIMES})")
        return Drawing(
            "Changed settings against the unchanged script",
            "Speed-up over the script as it is, with its 95 % interval. Not decided: the interval "
            "contains 1.",
            figure,
        )
    axes.set_xlabel(f"eager step / compiled step ({quantity.TIMES} as fast)")
    return Drawing(
        "Compiled against eager",
        "Speed-up over the uncompiled case, with its 95 % interval. On the right: the number of "
        "steps after which compiling with an empty cache has paid off. Not decided: the interval "
        "contains 1.",
        figure,
    )


def _remark(run: Run, measurement: Measurement) -> str:
    ratio = run.speedups[measurement.id].interval
    if ratio.low <= 1 <= ratio.high:
        return "not decided"
    if run.unchanged_script is not None:
        return ""
    steps = break_even.steps(run, measurement)
    if math.isinf(steps.value):
        return "never pays"
    text = break_even.text(steps)
    return f"pays after {text}" if text else quantity.NOTHING
