"""Reads a run directory and writes what people read. Measures nothing, and needs no torch.

Importing this costs next to nothing, for every child takes `stepbench_reports.analysis.stats`:
pandas, rich and jinja2 are imported by the functions.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from stepbench_reports.errors import ReportError

if TYPE_CHECKING:
    from rich.console import Console

    from stepbench_reports.read.run import Run

__all__ = ["ReportError", "load", "show", "write"]


def load(path: Path | str) -> "Run":
    """Reads a run directory, or a JSON file of pytest-benchmark.

    Args:
        path: The directory that holds `run.json`; or a file that pytest-benchmark wrote, each of
            whose benchmarks is then a case.

    Returns:
        The run, with pandas frames: `cases`, `samples` and `phases`. A case whose file is damaged
        is named in its `problems`.

    Raises:
        ReportError: There is no run there, or it cannot be read.
    """
    from stepbench_reports.read import pytest_benchmark, run_directory  # noqa: PLC0415  # see the module's docstring

    return pytest_benchmark.load(Path(path)) if Path(path).is_file() else run_directory.load(path)


def write(run: "Run | Path | str") -> list[Path]:
    """Writes a run's reports into its directory, over older ones; see `stepbench report --help`.

    Args:
        run: The run, or its directory.

    Returns:
        The files written.

    Raises:
        ReportError: There is no run there, or a file cannot be written.
    """
    from stepbench_reports.render import writing  # noqa: PLC0415  # see the module's docstring

    return writing.write(_loaded(run))


def show(run: "Run | Path | str", console: "Console") -> None:
    """Prints the table of cases.

    Args:
        run: The run, or its directory.
        console: Where to.

    Raises:
        ReportError: There is no run there.
    """
    from stepbench_reports.render import terminal  # noqa: PLC0415  # see the module's docstring

    terminal.show(_loaded(run), console)


def _loaded(run: "Run | Path | str") -> "Run":
    return load(run) if isinstance(run, (str, Path)) else run
