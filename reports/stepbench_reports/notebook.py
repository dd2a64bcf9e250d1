"""A run in a notebook: shown as its table, compared and plotted without a command line."""

import io
from dataclasses import dataclass

from markupsafe import Markup
from rich.console import Console

from stepbench_reports import figures
from stepbench_reports.comparing import slicing
from stepbench_reports.errors import ReportError
from stepbench_reports.figures import Picture
from stepbench_reports.read.run import Run
from stepbench_reports.render import html, terminal
from stepbench_reports.sections import tables
from stepbench_reports.wording.headline import headline
from stepbench_reports.wording.markup import escaped

COLUMNS = 110
"""The width of a run's text, characters."""


@dataclass(frozen=True)
class NotebookTable:
    """A table that a notebook shows, and that prints as Markdown.

    Attributes:
        lines: The lines of the table in Markdown.
    """

    lines: tuple[str, ...]

    def __str__(self) -> str:
        """The table in Markdown."""
        return "\n".join(self.lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return str(html.table(self.lines, ""))


@dataclass(frozen=True, repr=False)
class NotebookRun(Run):
    """A run whose text is its report, and which a notebook shows as the report's first table."""

    def __repr__(self) -> str:
        """The report as a terminal shows it."""
        stream = io.StringIO()
        terminal.show(self, Console(file=stream, width=COLUMNS))
        return "\n".join(line.rstrip() for line in stream.getvalue().strip().splitlines())

    def _repr_html_(self) -> str:
        cases = html.table(tables.cases(self).lines, "")
        return str(Markup("<p><strong>{}</strong></p>{}").format(_inline(headline(self)), cases))

    def compare(self, axis: str) -> NotebookTable:
        """Makes a table of samples/s with a column for each value of an axis, such as `compile`.

        Raises:
            ReportError: The run has no such axis.
        """
        return NotebookTable(slicing.by(self, axis).lines)

    def plot(self, name: str = "phases") -> Picture:
        """Draws a figure of the report, which a notebook shows.

        Args:
            name: A figure's name, as its file in `figures/` has it: `phases`, `batch-size`,
                `workers`, `compiled`, `memory`, `roofline`, `distribution`.

        Raises:
            ReportError: There is no such figure, or the run has no data for it.
        """
        picture = figures.picture(self, name) if name in figures.FIGURES else None
        if picture is None:
            names = ", ".join(picture.name for picture in figures.pictures(self))
            raise ReportError(f"plot({name!r}): the run has no such figure; give one of {names}")
        return picture


def _inline(text: str) -> Markup:
    return html.inline(escaped(text))


def of(run: Run) -> NotebookRun:
    """The same run, for a notebook."""
    return NotebookRun(run.path, run.facts, run.measurements, run.problems, run.hosts, run.repeats)
