"""The style of figures: colours for colour-blind readers and for light and dark pages."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from stepbench_reports.analysis.stats import Interval
from stepbench_reports.schema.phases import Phase
from stepbench_reports.wording.quantity import MAX_UNCERTAINTY

INK, FAINT = "#1f2328", "#8c959f"
"""The colours of text and axes, and of grids and reference lines."""
_DARK = {INK: "#e6edf3", FAINT: "#7d8590"}
"""The colours that replace `INK` and `FAINT` on a dark page."""
PHASE_COLOURS: Mapping[str, str] = {
    Phase.DATALOAD: "#0072b2", Phase.TRANSFER: "#56b4e9", Phase.FORWARD: "#009e73",
    Phase.BACKWARD: "#e69f00", Phase.OPTIMIZER: "#cc79a7", Phase.OTHER: "#999999",
}  # fmt: skip
"""The colour of each phase; phases not listed use `SERIES`."""
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#7f7f7f")
"""Okabe and Ito's palette without black and yellow, which vanish on dark or light pages."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
WIDTH_IN = 6.2
LINE_IN = 0.26
"""The height of a bar with its spacing, inches."""
SETTINGS: Any = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT, "xtick.color": INK,
    "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "figure.facecolor": "none",
    "axes.facecolor": "none", "savefig.facecolor": "none", "legend.frameon": False,
    "grid.color": FAINT, "grid.alpha": 0.35,
}  # fmt: skip
"""Matplotlib's settings for making and saving a figure (`Any`: its stubs list every key)."""


@dataclass(frozen=True)
class Drawing:
    """A figure with a title and a caption.

    Attributes:
        title: The figure's title.
        caption: Explains how to read the figure, in a sentence or two; also the alternative text.
        figure: The Matplotlib figure.
    """

    title: str
    caption: str
    figure: Figure


def canvas(height_in: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Makes a figure `WIDTH_IN` wide and a row of `columns` axes."""
    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def svg(drawing: Drawing, name: str) -> str:
    """Renders a figure as SVG, with a title and with colours that follow the page's colour scheme.

    Args:
        drawing: The figure.
        name: A salt that makes the ids in the SVG differ from those of other figures.
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


def phase_colour(phase: str, number: int) -> str:
    """The colour of a phase, which is the run's phase of this number."""
    return PHASE_COLOURS.get(phase, colour(number))


def colour(number: int) -> str:
    """A series' colour; colours repeat after the last."""
    return SERIES[number % len(SERIES)]


def marker(number: int) -> str:
    """A series' marker; markers repeat after the last."""
    return MARKERS[number % len(MARKERS)]


def whiskers(points: Sequence[Interval]) -> list[list[float]]:
    """The lengths of error bars below and above the values.

    They are 0 without an interval, and for one so wide that a table shows a dash for it: its bar
    would leave no room for the values.
    """
    shown = [point.relative_half_width <= MAX_UNCERTAINTY for point in points]
    return [
        [
            point.value - point.low if show else 0.0
            for point, show in zip(points, shown, strict=True)
        ],
        [
            point.high - point.value if show else 0.0
            for point, show in zip(points, shown, strict=True)
        ],
    ]


def log_ticks(axes: Axes, values: Sequence[float]) -> None:
    """Makes the x axis logarithmic, with a tick at each value, labelled in plain notation."""
    axes.set_xscale("log")
    ticks = sorted({*values})
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=0)


def thousands(value: float, _: int) -> str:
    """A tick's label, with thousands separators."""
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:g}"
