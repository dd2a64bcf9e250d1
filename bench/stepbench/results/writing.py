"""The error for a result that cannot be written."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


class StoreError(Exception):
    """Raised if a result cannot be written; the message names the file, reason and remedy."""


@contextlib.contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turns an `OSError` from writing a file into a `StoreError` with the remedy.

    Raises:
        StoreError: The file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror}); earlier results are kept and "
            f"reported: free disk space, then resume with --resume"
        ) from error
