"""Reads a run directory and writes reports. Measures nothing, and needs no torch.

Importing this package must stay cheap, because every child process imports
`stepbench_reports.analysis.stats`. Functions therefore import pandas, rich and jinja2.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from stepbench_reports.errors import ReportError

if TYPE_CHECKING:
    from rich.console import Console

    from stepbench_reports.notebook import NotebookRun
    from stepbench_reports.read.run import Run

__all__ = ["ReportError", "load", "show", "write"]


def load(path: Path | str) -> "NotebookRun":
    """Reads a run directory, or a JSON file of pytest-benchmark.

    Args:
        path: The directory that holds `run.json`, or a file that pytest-benchmark wrote, in which
            case each benchmark becomes a case.

    Returns:
        The run, with the pandas frames `cases`, `samples` and `phases`. The run's `problems` name
        the cases with a damaged file. A notebook shows its table; `compare("compile")` makes
        others, `plot()` figures.

    Raises:
        ReportError: The path holds no run, or the run cannot be read.
    """
    from stepbench_reports import notebook  # noqa: PLC0415  # see the module's docstring
    from stepbench_reports.read import pytest_benchmark, run_directory  # noqa: PLC0415

    is_file = Path(path).is_file()
    return notebook.of(pytest_benchmark.load(Path(path)) if is_file else run_directory.load(path))


def write(run: "Run | Path | str") -> list[Path]:
    """Writes a run's reports into its directory, over older ones; see `stepbench report --help`.

    Args:
        run: The run, or its directory.

    Returns:
        The files written.

    Raises:
        ReportError: The path holds no run, or a file cannot be written.
    """
    from stepbench_reports.render import writing  # noqa: PLC0415  # see the module's docstring

    return writing.write(_loaded(run))


def show(run: "Run | Path | str", console: "Console") -> None:
    """Prints the table of cases.

    Args:
        run: The run, or its directory.
        console: The console to print on.

    Raises:
        ReportError: The path holds no run, or the run cannot be read.
    """
    from stepbench_reports.render import terminal  # noqa: PLC0415  # see the module's docstring

    terminal.show(_loaded(run), console)


def _loaded(run: "Run | Path | str") -> "Run":
    return load(run) if isinstance(run, (str, Path)) else run
