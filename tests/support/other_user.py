"""Acts as another user of the machine, without rights: `nobody`."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

UID = 65534
needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="needs root and setpriv, to act as another user",
)


def run(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a directory as the other user."""
    return subprocess.run(
        [
            "setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups",
            sys.executable, "-I", "-c", code,
        ],
        cwd=directory, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def open_directory(path: Path) -> Path:
    """Makes a directory that belongs to the other user."""
    path.mkdir()
    os.chown(path, UID, UID)
    return path


@contextmanager
def readable_directory() -> Iterator[Path]:
    """Makes a temporary directory that every user can read, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
