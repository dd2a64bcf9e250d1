"""The files that pytest's own options name, which are written only after all measurements."""

import os
from pathlib import Path

import pytest

from stepbench.errors import UsageError

_DESTINATIONS = {
    "--junitxml": "xmlpath",
    "--benchmark-json": "benchmark_json",
    "--log-file": "log_file",
}
"""The attribute of pytest's options that holds an option's file."""


def refuse_unwritable_files(config: pytest.Config) -> None:
    """Refuses files that cannot be written, before an hour is spent on what they will hold.

    Raises:
        UsageError: A file or its directory cannot be made.
    """
    for option, destination in _DESTINATIONS.items():
        word = getattr(config.option, destination, None)
        if word is None:
            continue
        try:
            _try_to_write(Path(os.path.expandvars(word)).expanduser())
        except (OSError, RuntimeError, ValueError) as error:
            fault = getattr(error, "strerror", None) or error
            raise UsageError(
                f"{option} {word}: cannot be written ({fault}); give another file"
            ) from None


def _try_to_write(path: Path) -> None:
    """Opens a file to add to it; leaves one that exists as it is, and no new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    existed = path.exists()
    with path.open("ab"):
        pass
    if not existed:
        path.unlink()
