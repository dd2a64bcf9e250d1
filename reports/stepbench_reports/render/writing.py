"""Writes a run's reports into its directory, each whole or not at all."""

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
"""For a browser: all there is, in one file."""
REPORT = "report.md"
"""For a pull request."""
FIGURES = "figures"
"""The folder of the page's figures, a file each."""
SAMPLES = "samples.parquet"
"""A row per case, clock and step."""
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
    told, drawn = markdown.content(run), list(figures.pictures(run))
    texts = {
        PAGE: html.render(run, told, drawn),
        **{f"{FIGURES}/{picture.name}.svg": picture.svg for picture in drawn},
        REPORT: markdown.render(run, told),
        PHASES: run.phases.to_csv(index=False, lineterminator="\n"),
    }
    called = operators.frame(run)
    if not called.empty:
        texts[OPERATORS] = called.to_csv(index=False, lineterminator="\n")
    _remove_older(run.path, texts)
    written = [write_file(run.path / name, text.encode()) for name, text in texts.items()]
    return [*written, write_file(run.path / SAMPLES, _parquet(run))]


def _remove_older(place: Path, texts: Mapping[str, str]) -> None:
    """Removes what an earlier state of the run had and this one has not."""
    older = [place / OPERATORS, *(place / FIGURES).glob("*.svg")]
    for file in older:
        if file.relative_to(place).as_posix() not in texts:
            file.unlink(missing_ok=True)


def _parquet(run: Run) -> bytes:
    """Every step, in the columns of `Run.samples`."""
    file = io.BytesIO()
    run.samples.to_parquet(file, index=False)
    return file.getvalue()


def write_file(path: Path, content: bytes) -> Path:
    """Writes a report's file, whole or not at all.

    Raises:
        ReportError: It cannot be written.
    """
    try:
        with atomic_write(path) as beside:
            beside.write_bytes(content)
    except OSError as error:
        raise ReportError(
            f"{path}: cannot be written ({error.strerror}); make room, or copy the run to a "
            f"directory that can be written"
        ) from error
    return path
