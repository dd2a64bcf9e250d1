"""The figure of the study `truth.py`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from truth_durations import Durations
from truth_overhead import MAX_OVERHEAD, METHODS, STEPBENCH, Overhead
from truth_processes import Spread, relative_quartiles
from truth_spins import FLOOR_S, PHASES, SHARE

Panel = Callable[[Axes], None]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""The palette of Okabe and Ito, for readers with any colour vision."""
AIM, GREY = "#b7dcc4", "#8a8a8a"
MARKERS = ("o", "s", "^", "D")
OFFSET = 1.09
"""The factor between neighbouring phases on the x axis, so that they do not overlap."""


def durations(result: Durations, axes: Axes) -> None:
    """Plots each phase's error against its spin, with the aim."""
    spins = np.array(list(result.recovered)) / 1e9
    x = np.geomspace(spins[0] / 2, spins[-1] * 2, 200)
    allowed = np.maximum(FLOOR_S, SHARE * x) * 1e6
    axes.fill_between(x * 1e3, -allowed, allowed, color=AIM, label="aim: 20 µs or 1 %")
    axes.axhline(0, color="black", linewidth=0.6)
    for number, phase in enumerate(PHASES):
        cells = [phases[phase] for phases in result.recovered.values()]
        errors = [cell.error for cell in cells]
        values = np.array([error.value for error in errors])
        ends = np.array([[e.value - e.low for e in errors], [e.high - e.value for e in errors]])
        axes.errorbar(
            spins * 1e3 * OFFSET ** (2 * number - 3),
            values * 1e6,
            yerr=ends * 1e6,
            fmt=MARKERS[number],
            markersize=5,
            color=COLOURS[number],
            capsize=2,
            label=str(phase),
        )
    cold = [
        np.mean([np.median(cell.cold - cell.still) for cell in phases.values()]) * 1e6
        for phases in result.recovered.values()
    ]
    axes.plot(spins * 1e3, cold, "x--", color=GREY, linewidth=1, label="where code goes cold")
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=20, linscale=1.5)
    axes.set_xticks(spins * 1e3, [_duration(spin) for spin in spins])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks([-500, -100, -20, -10, 0, 10, 20, 100, 500])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}" if value else "0"))
    axes.set_xlim(x[0] * 1e3, x[-1] * 1e3)
    axes.set_xlabel("each phase spins for")
    axes.set_ylabel("error of a phase's lap, µs")
    axes.set_title("Known durations, read back")
    axes.set_ylim(-1000, 1000)
    axes.legend(fontsize=8, loc="lower left", framealpha=0.9)


def overhead(result: Overhead, axes: Axes) -> None:
    """Plots each method's overhead as a share of a step, with its interval."""
    shares = [result.share(name) for name in METHODS]
    rows = np.arange(len(METHODS))[::-1]
    for row, name, share in zip(rows, METHODS, shares, strict=True):
        colour = COLOURS[0] if name == STEPBENCH else GREY
        ends = [[(share.value - share.low) * 100], [(share.high - share.value) * 100]]
        axes.errorbar(share.value * 100, row, xerr=ends, fmt="o", color=colour, capsize=3)
        axes.text(
            0.03,
            row + 0.16,
            f"{name}  {share.value:+.2%}",
            transform=axes.get_yaxis_transform(),
            fontsize=9,
            color=colour if name == STEPBENCH else "black",
        )
    axes.axvspan(
        -MAX_OVERHEAD * 100, MAX_OVERHEAD * 100, color=AIM, label=f"aim: {MAX_OVERHEAD:.1%}"
    )
    axes.axvline(0, color="black", linewidth=0.6)
    axes.set_xscale("symlog", linthresh=1, linscale=1)
    axes.set_xlim(-0.15, 40)
    axes.set_xticks([0, 0.5, 1, 3, 10, 30], ["0", "0.5", "1", "3", "10", "30"])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks([])
    axes.set_ylim(-0.7, len(METHODS) - 0.3)
    axes.set_xlabel(f"overhead on a step of {result.step_s * 1e3:.1f} ms, %")
    axes.set_title("What taking laps costs")
    axes.legend(fontsize=8, loc="lower right")


def spread(result: Spread, axes: Axes) -> None:
    """Plots each process's median step."""
    scatter = np.random.default_rng(0)
    columns = (("stepbench", result.stepbench), ("plain script", result.plain))
    for x, (name, steps) in enumerate(columns):
        colour = COLOURS[0] if name == "stepbench" else GREY
        offsets = scatter.uniform(-0.18, 0.18, len(steps))
        axes.plot(x + offsets, steps * 1e3, "o", color=colour, alpha=0.7, markersize=5)
        axes.hlines(np.median(steps) * 1e3, x - 0.3, x + 0.3, color=colour, linewidth=2)
    axes.set_xticks(
        range(len(columns)),
        [f"{name}\nIQR {relative_quartiles(steps):.1%}" for name, steps in columns],
    )
    axes.set_xlim(-0.6, len(columns) - 0.4)
    all_ms = np.concatenate([steps for _, steps in columns]) * 1e3
    middle = float(np.median(all_ms))
    axes.set_ylim(min(all_ms.min(), middle * 0.95) * 0.99, max(all_ms.max(), middle * 1.05) * 1.01)
    axes.set_ylabel("median step of a process, ms")
    axes.set_title("From process to process")


def panel(result: object) -> Panel | None:
    """The function that plots a part's results; `None` for parts without a plot."""
    match result:
        case Durations():
            return partial(durations, result)
        case Overhead():
            return partial(overhead, result)
        case Spread():
            return partial(spread, result)
    return None


def draw(results: list[object], caption: str, path: Path) -> bool:
    """Plots parts side by side; returns `False` if no part has a plot."""
    panels = [plot for result in results if (plot := panel(result)) is not None]
    if not panels:
        return False
    mpl.rcParams.update(
        {
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titleweight": "bold",
        }
    )
    figure = Figure(figsize=(4.4 * len(panels), 4.4), layout="constrained")
    for axes, plot in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        plot(axes)
    figure.supxlabel(caption, fontsize=8, color="#555555")
    figure.savefig(path, dpi=110)
    return True


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:g} µs" if seconds < 1e-3 else f"{seconds * 1e3:g} ms"
