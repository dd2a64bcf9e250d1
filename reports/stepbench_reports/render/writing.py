"""Writes a run's reports into the run directory, each file atomically."""

import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from pandas.api.types import is_numeric_dtype

from stepbench_reports import figures
from stepbench_reports.errors import ReportError
from stepbench_reports.read import operators
from stepbench_reports.read.run import Run
from stepbench_reports.render import html, markdown
from stepbench_reports.schema.files import atomic_write
from stepbench_reports.schema.text import encodable, spreadsheet_cell

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
        ReportError: Some files cannot be written, or `FIGURES` is a link.
    """
    if (run.path / FIGURES).is_symlink():
        raise ReportError(
            f"{run.path / FIGURES}: is a link, and reports are written through no links; remove it"
        )
    variables, pictures = markdown.content(run), list(figures.pictures(run))
    # On a disk that is nearly full, the smaller and more important ones come first.
    texts = {
        REPORT: markdown.render(run, variables),
        PHASES: _csv(run.phases),
        PAGE: html.render(run, variables, pictures),
        **{f"{FIGURES}/{picture.name}.svg": picture.svg for picture in pictures},
    }
    operator_table = operators.frame(run)
    if not operator_table.empty:
        texts[OPERATORS] = _csv(operator_table)
    _remove_older(run.path, texts)
    contents = {name: encodable(text).encode() for name, text in texts.items()}
    contents[SAMPLES] = _parquet(run)
    errors = []
    for name, content in contents.items():
        try:
            write_file(run.path / name, content)
        except ReportError as error:
            errors.append(error)
    if errors:
        raise ReportError(
            f"{len(errors)} of {len(contents)} reports are missing: {errors[0]}"
        ) from errors[0]
    return [run.path / name for name in contents]


def _remove_older(directory: Path, texts: Mapping[str, str]) -> None:
    """Removes files of earlier reports that are not among `texts`: figures and `operators.csv`."""
    candidates = [directory / OPERATORS, *(directory / FIGURES).glob("*.svg")]
    for file in candidates:
        if file.relative_to(directory).as_posix() not in texts:
            file.unlink(missing_ok=True)


def _csv(frame: pd.DataFrame) -> str:
    """A table as CSV, whose texts no spreadsheet takes for formulas."""
    texts = [name for name in frame.columns if not is_numeric_dtype(frame[name])]
    safe = frame.assign(**{name: frame[name].map(spreadsheet_cell) for name in texts})
    return safe.rename(columns=spreadsheet_cell).to_csv(index=False, lineterminator="\n")


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
