"""Whether head is slower than base: what recorded pairs say, and how it is told.

Pure functions of what a check's directory holds, so that a verdict can be come to again, on another
machine and with no torch. `docs/regression.md` says how it is decided, and why so.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from stepbench_reports.regression.records import Check, load
from stepbench_reports.schema.files import CHECK

if TYPE_CHECKING:
    from rich.console import Console

    from stepbench_reports.regression.decision import Decision

__all__ = ["Check", "holds_check", "load", "show", "write"]


def holds_check(path: Path | str) -> bool:
    """Whether a directory is a check's."""
    return (Path(path) / CHECK).is_file()


def write(path: Path | str) -> "Decision":
    """Comes to a verdict, and writes it into the check's directory, over an older one.

    Args:
        path: The directory.

    Returns:
        The verdict, with what it rests upon.

    Raises:
        ReportError: There is no check there, or a file cannot be written.
    """
    from stepbench_reports.regression import writing  # noqa: PLC0415  # SciPy's statistics take a second

    return writing.write(load(path))


def show(decision: "Decision", console: "Console") -> None:
    """Prints a verdict: the table of rows, what else differs, and the verdict in a line."""
    from stepbench_reports.regression import terminal  # noqa: PLC0415  # likewise

    terminal.show(decision, console)
