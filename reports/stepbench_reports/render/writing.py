"""Writes a run's reports into the run directory, each file atomically."""

import io
from collections.abc import Mapping
from pathlib import Path

from stepbench_reports import figures
from stepbench_reports.errors import ReportError
from stepbench_reports.read import operators
from stepbench_reports.read.run import Run
from stepbench_reports.render import html, markdown
from stepbench_reports.schema.files import atomic_write

PAGE = "report.html"
"""The complete report for a browser, in one file."""
REPORT = "report.md"
"""The report for a pull request."""
FIGURES = "figures"
"""The directory of the figures, a file each."""
SAMPLES = "samples.parquet"
"""The table of steps: a row per case, clock and step."""
PHASES = "phases.csv"
"""The table of phases: a row per case, clock and phase."""
OPERATORS = "operators.csv"
"""The table of operators: a row per case, phase, operator and shapes; only for profiled runs."""


def write(run: Run) -> list[Path]:
    """Writes a run's reports into the run directory, and replaces older ones.

    Args:
        run: The run.

    Returns:
        The files written.

    Raises:
        ReportError: A file cannot be written.
    """
    variables, pictures = markdown.content(run), list(figures.pictures(run))
    texts = {
        PAGE: html.render(run, variables, pictures),
        **{f"{FIGURES}/{picture.name}.svg": picture.svg for picture in pictures},
        REPORT: markdown.render(run, variables),
        PHASES: run.phases.to_csv(index=False, lineterminator="\n"),
    }
    operator_table = operators.frame(run)
    if not operator_table.empty:
        texts[OPERATORS] = operator_table.to_csv(index=False, lineterminator="\n")
    _remove_older(run.path, texts)
    written = [write_file(run.path / name, text.encode()) for name, text in texts.items()]
    return [*written, write_file(run.path / SAMPLES, _parquet(run))]


def _remove_older(directory: Path, texts: Mapping[str, str]) -> None:
    """Removes files of earlier reports that are not among `texts`: figures and `operators.csv`."""
    candidates = [directory / OPERATORS, *(directory / FIGURES).glob("*.svg")]
    for file in candidates:
        if file.relative_to(directory).as_posix() not in texts:
            file.unlink(missing_ok=True)


def _parquet(run: Run) -> bytes:
    """`Run.samples` (every step of every case) in the Parquet format."""
    buffer = io.BytesIO()
    run.samples.to_parquet(buffer, index=False)
    return buffer.getvalue()


def write_file(path: Path, content: bytes) -> Path:
    """Writes a report's file atomically.

    Raises:
        ReportError: The file cannot be written.
    """
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise ReportError(
            f"{path}: cannot be written ({error.strerror}); free disk space, or copy the run to "
            f"a writable directory"
        ) from error
    return path
