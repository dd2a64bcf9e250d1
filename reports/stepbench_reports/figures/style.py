"""How figures look: colours that most eyes tell apart, and that suit light and dark pages."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from stepbench_reports.analysis.stats import Interval
from stepbench_reports.schema.phases import Phase

INK, FAINT = "#1f2328", "#8c959f"
"""Text and axes; grids and what is only there to compare with."""
_DARK = {INK: "#e6edf3", FAINT: "#7d8590"}
"""What takes their place on a dark page."""
PHASE_COLOURS: Mapping[str, str] = {
    Phase.DATALOAD: "#0072b2", Phase.TRANSFER: "#56b4e9", Phase.FORWARD: "#009e73",
    Phase.BACKWARD: "#e69f00", Phase.OPTIMIZER: "#cc79a7",
}  # fmt: skip
"""A colour for each phase; others take those of `SERIES`."""
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#7f7f7f")
"""Okabe and Ito's, but for black and yellow, which vanish on one page or the other."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
WIDTH_IN = 8.0
LINE_IN = 0.26
"""The height of a line of bars."""
SETTINGS: Any = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT, "xtick.color": INK,
    "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "figure.facecolor": "none",
    "axes.facecolor": "none", "savefig.facecolor": "none", "legend.frameon": False,
    "grid.color": FAINT, "grid.alpha": 0.35,
}  # fmt: skip
"""Of matplotlib, while a figure is made and while it is written; its types list every key."""


@dataclass(frozen=True)
class Drawing:
    """A figure with its words.

    Attributes:
        title: What it is of.
        caption: How it is to be read, in a sentence or two; it stands for the picture where that
            cannot be seen.
        figure: The picture.
    """

    title: str
    caption: str
    figure: Figure


def canvas(height_in: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, side by side."""
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def svg(drawing: Drawing, name: str) -> str:
    """A figure as a file that shows its own title, and follows the page from light to dark.

    Args:
        drawing: The figure.
        name: Tells its parts' names from those of other figures.
    """
    file = io.StringIO()
    with mpl.rc_context({**SETTINGS, "svg.hashsalt": name}):
        drawing.figure.savefig(file, format="svg", metadata={"Date": None, "Title": drawing.title})
    text = file.getvalue()
    dark = "".join(
        f'[style*="{kind}: {light}"] {{ {kind}: {shade} !important; }}'
        for light, shade in _DARK.items()
        for kind in ("fill", "stroke")
    )
    begin = text.index(">", text.index("<svg")) + 1
    style = f"<style>@media (prefers-color-scheme: dark) {{ {dark} }}</style>"
    return text[:begin] + style + text[begin:]


def colour(number: int) -> str:
    """A series' colour; after the last the first again."""
    return SERIES[number % len(SERIES)]


def marker(number: int) -> str:
    """A series' marker; colour and marker together repeat late."""
    return MARKERS[number % len(MARKERS)]


def whiskers(points: Sequence[Interval]) -> list[list[float]]:
    """How far intervals reach below and above their values; 0 where they are not known."""
    below = [point.value - point.low for point in points]
    above = [point.high - point.value for point in points]
    return [[reach if math.isfinite(reach) else 0.0 for reach in side] for side in (below, above)]


def counts(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis of the values that there are, written as they are."""
    axes.set_xscale("log")
    ticks = sorted({*values})
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=0)


def thousands(value: float, _: int) -> str:
    """A tick with separators."""
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:g}"
