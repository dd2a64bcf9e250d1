"""A folded part of `report.md`."""

from dataclasses import dataclass

from stepbench_reports.wording.markup import Grid

CASE_FILES = "`cases/` in the run directory"
PHASES_CSV = "`phases.csv`"
PROFILES = "`profiles/` in the run directory"


@dataclass(frozen=True)
class Section:
    """A folded part.

    Attributes:
        title: What is seen of it at first.
        lead: What its figures are, in Markdown.
        grid: Its table.
        where: Where the rows are that there is no room for.
        lines: A list beneath.
        left_out: How many of the list there was no room for.
    """

    title: str
    lead: str
    grid: Grid | None
    where: str = CASE_FILES
    lines: tuple[str, ...] = ()
    left_out: int = 0
