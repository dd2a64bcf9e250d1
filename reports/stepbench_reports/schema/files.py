"""Writes files of a run's or a check's directory: whole or not at all."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TRACE_SUFFIX = ".pt.trace.json.gz"
"""The end of a trace's file name, by which torch-tb-profiler knows one."""


@contextmanager
def atomic_write(place: Path) -> Iterator[Path]:
    """Gives a place beside to write a file to, which is then moved where it belongs.

    Args:
        place: Where the file shows up, once the context ends well; its directory is made.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        yield beside
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)


def write_json(place: Path, content: Mapping[str, Any], indent: int | None = None) -> None:
    """Writes a JSON file that is whole on the disk before it shows up.

    Args:
        place: The file.
        content: Without NaN, which JSON has not.
        indent: How far each level is set in; `None` writes one line.

    Raises:
        OSError: It cannot be written.
    """
    with atomic_write(place) as beside, beside.open("w", encoding="utf-8") as handle:
        json.dump(content, handle, indent=indent, allow_nan=False)
        handle.flush()
        os.fsync(handle.fileno())
