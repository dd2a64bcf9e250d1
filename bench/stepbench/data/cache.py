"""Directories that stepbench makes once and keeps in the user's cache: whole, or not at all.

A kept directory holds a manifest with the MD5 of each of its files. It is made beside its place
and then renamed into it, so that neither a kill nor a second process leaves half of one to be read;
one that was damaged later is made anew.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import platformdirs

from stepbench.errors import UsageError

VARIABLE = "STEPBENCH_CACHE_DIR"
"""The environment variable that puts the cache elsewhere."""
MANIFEST = "manifest.json"
VERSION = 1
"""Part of the names of what is drawn; raised when the drawings change."""

_SCRATCH = ".unfinished-"
_ABANDONED_S = 3600.0
"""An unfinished directory as old as this was left by a process that was killed."""


def location() -> Path:
    """The cache: what `STEPBENCH_CACHE_DIR` says, or the user's own cache directory."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_cache_path("stepbench", appauthor=False)


def digests(directory: Path) -> dict[str, str]:
    """The MD5 that each file of a kept directory had when it was made, by its path in there.

    Raises:
        OSError: The directory was not kept here.
        ValueError: Its manifest is damaged.
    """
    read: dict[str, str] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    return read


def intact(directory: Path) -> bool:
    """Tells if a directory is kept here, with each file as it was made."""
    try:
        return all(_md5(directory / name) == md5 for name, md5 in digests(directory).items())
    except (OSError, ValueError):
        return False


def keep(directory: Path, make: Callable[[Path], None]) -> None:
    """Makes a directory and puts it into its place; does nothing where it is intact.

    Args:
        directory: Its place.
        make: Takes an empty directory and fills it.

    Raises:
        UsageError: The cache cannot be written.
    """
    if intact(directory):
        return
    try:
        _keep(directory, make)
    except OSError as error:
        raise UsageError(
            f"{VARIABLE}={directory.parent}: generated data cannot be written there ({error}); "
            f"set {VARIABLE} to a directory with room that you may write"
        ) from error


def _keep(directory: Path, make: Callable[[Path], None]) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    _sweep(directory.parent)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=directory.parent) as scratch:
        made = Path(scratch, directory.name)
        made.mkdir()
        make(made)
        files = [path for path in sorted(made.rglob("*")) if path.is_file()]
        manifest = {path.relative_to(made).as_posix(): _md5(path) for path in files}
        (made / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        _put(made, directory)


def _put(made: Path, place: Path) -> None:
    # Others may be at the same: whoever comes second finds an intact directory, and several who
    # found one damaged each move away what they find. So a rename may fail, but not time and again.
    for attempts_left in reversed(range(5)):
        try:
            made.rename(place)
        except OSError:
            if not attempts_left:
                raise
        else:
            return
        if intact(place):
            return
        with contextlib.suppress(FileNotFoundError):
            place.rename(Path(tempfile.mkdtemp(dir=made.parent), "damaged"))


def _sweep(cache: Path) -> None:
    for scratch in cache.glob(_SCRATCH + "*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - scratch.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(scratch, ignore_errors=True)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
