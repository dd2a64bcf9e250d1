"""A disk that is soon full."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(path: Path, mebibytes: int) -> Iterator[Path]:
    """Mounts a small disk in memory at a new directory; skips the test where it may not."""
    mount = shutil.which("mount")
    if mount is None:
        pytest.skip("there is no mount, to make a small disk")
    path.mkdir()
    size = f"size={mebibytes}m,mode=0755"
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", size, "tmpfs", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"needs root, to mount a small disk: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
