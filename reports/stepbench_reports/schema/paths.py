"""Paths of results as people type them."""

import difflib
import os
from pathlib import Path

from stepbench_reports.schema.files import RUN


def nearby(path: Path) -> str:
    """A hint for the end of an error message: runs beside a path with a similar name.

    Args:
        path: A directory that holds no run.
    """
    try:
        names = sorted(each.name for each in path.parent.iterdir() if (each / RUN).is_file())
    except OSError:
        names = []
    close = difflib.get_close_matches(path.name, names, n=2, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(str(path.parent / name) for name in close) + "?"
    return "give a run's directory, such as results/latest"


def relative_path(path: Path) -> str:
    """A path relative to the current directory; unchanged if it lies outside."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
