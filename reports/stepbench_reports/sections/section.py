"""A folded part of `report.md`."""

from dataclasses import dataclass

from stepbench_reports.wording.markup import Grid

CASE_FILES = "`cases/` in the run directory"
PHASES_CSV = "`phases.csv`"
PROFILES = "`profiles/` in the run directory"


@dataclass(frozen=True)
class Section:
    """A folded part of a report.

    Attributes:
        title: The text that is visible while the part is folded.
        lead: Explains the figures, in Markdown.
        grid: The table; `None` for a section without one.
        source: The file or directory with the rows and lines that do not fit, in Markdown.
        lines: A list below the table, in Markdown.
        left_out: The number of lines that do not fit.
    """

    title: str
    lead: str
    grid: Grid | None
    source: str = CASE_FILES
    lines: tuple[str, ...] = ()
    left_out: int = 0
