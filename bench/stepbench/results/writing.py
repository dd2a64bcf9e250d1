"""The error of a result that cannot be written, with its remedy."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


class StoreError(Exception):
    """A result could not be written; the message names the file and the reason."""


@contextlib.contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turns a failure to write a file into a `StoreError` with the remedy."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror}); what was measured before is kept: "
            f"make room, then resume with --resume"
        ) from error
