"""The rows of a study that is taken in parts: lines of JSON in a file beside it."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def stored(file: Path) -> list[Row]:
    """The rows of a file, none if there is no file yet."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def add(file: Path, rows: Iterable[Row]) -> None:
    """Adds rows to the end of a file."""
    with file.open("a") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
