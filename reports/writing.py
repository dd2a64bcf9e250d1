"""Writes a run's reports into its directory, each whole or not at all."""

import os
from pathlib import Path

from . import markdown, operators
from .errors import ReportError
from .frame import Run

REPORT = "report.md"
"""For a pull request."""
PHASES = "phases.csv"
"""A row per case, clock and phase."""
OPERATORS = "operators.csv"
"""A row per case, phase, operator and shapes; only of a run that was profiled."""


def write(run: Run) -> list[Path]:
    """Writes a run's reports into its directory, over older ones.

    Args:
        run: The run.

    Returns:
        The files written.

    Raises:
        ReportError: A file cannot be written.
    """
    texts = {
        REPORT: markdown.render(run),
        PHASES: run.phases.to_csv(index=False, lineterminator="\n"),
    }
    called = operators.frame(run)
    if not called.empty:
        texts[OPERATORS] = called.to_csv(index=False, lineterminator="\n")
    return [_write(run.path / name, text) for name, text in texts.items()]


def _write(path: Path, text: str) -> Path:
    """Writes a file beside its place, then moves it there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            beside.write_text(text, encoding="utf-8", newline="\n")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise ReportError(
            f"{path}: cannot be written ({error.strerror}); make room, or copy the run to a "
            f"directory that can be written"
        ) from error
    return path
