"""Decides from recorded pairs if head is slower than base, and reports the verdict.

Pure functions of the contents of a check's directory. They can reproduce a verdict on another
machine and without torch. `docs/regression.md` describes the decision and the reasons for it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from stepbench_reports.regression.records import Check, load
from stepbench_reports.schema.files import CHECK

if TYPE_CHECKING:
    from rich.console import Console

    from stepbench_reports.regression.decision import Decision

__all__ = ["Check", "holds_check", "load", "show", "show_exit", "write"]


def holds_check(path: Path | str) -> bool:
    """True if a directory holds a check (its `check.json`)."""
    return (Path(path) / CHECK).is_file()


def write(path: Path | str) -> "Decision":
    """Decides a check, and writes the verdict into its directory, over an older one.

    Args:
        path: The check's directory.

    Returns:
        The verdict, with the figures and facts behind it.

    Raises:
        ReportError: The directory holds no check, or a file cannot be written.
    """
    from stepbench_reports.regression import writing  # noqa: PLC0415  # SciPy takes a second

    return writing.write(load(path))


def show(decision: "Decision", console: "Console") -> None:
    """Prints a verdict: its headline, the table of rows, and facts that differ."""
    from stepbench_reports.regression import terminal  # noqa: PLC0415  # imports SciPy as well

    terminal.show(decision, console)


def show_exit(decision: "Decision", console: "Console") -> None:
    """Prints the last line of a check, which holds the exit code."""
    from stepbench_reports.regression import terminal  # noqa: PLC0415  # imports SciPy as well

    terminal.show_exit(decision, console)
