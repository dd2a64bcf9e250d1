"""The figures of a report, which are also saved as files; one module for each kind of plot."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import matplotlib as mpl

from stepbench_reports.figures import (
    compile_break_even,
    distribution,
    memory,
    phases,
    roofline,
    scaling,
)
from stepbench_reports.figures.style import SETTINGS, Drawing, svg
from stepbench_reports.read.run import Run

FIGURES: dict[str, Callable[[Run], Drawing | None]] = {
    "phases": phases.draw,
    "batch-size": scaling.by_batch_size,
    "workers": scaling.by_workers,
    "compiled": compile_break_even.draw,
    "memory": memory.draw,
    "roofline": roofline.draw,
    "distribution": distribution.draw,
}
"""The functions that draw the figures, by file name without suffix, in the report's order."""


@dataclass(frozen=True)
class Picture:
    """A figure as SVG.

    Attributes:
        name: The file's name, without the suffix.
        title: The figure's title.
        caption: Explains how to read the figure; also the alternative text.
        svg: The file's content.
    """

    name: str
    title: str
    caption: str
    svg: str

    def _repr_svg_(self) -> str:
        return self.svg


def pictures(run: Run) -> Iterator[Picture]:
    """Draws every figure that the run has data for."""
    for name in FIGURES:
        drawn = picture(run, name)
        if drawn is not None:
            yield drawn


def picture(run: Run, name: str) -> Picture | None:
    """Draws one of `FIGURES`; `None` if the run has no data for it."""
    with mpl.rc_context(SETTINGS):
        drawing = FIGURES[name](run)
    if drawing is None:
        return None
    return Picture(name, drawing.title, drawing.caption, svg(drawing, name))
