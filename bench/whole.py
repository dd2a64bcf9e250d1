"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(place: Path) -> Iterator[Path]:
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
