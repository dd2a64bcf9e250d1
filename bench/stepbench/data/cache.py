"""Directories of generated data in the user's cache, each complete or absent.

Each directory holds a manifest with the MD5 of each of its files. The directory is made under a
temporary name and then renamed, so that neither a killed process nor a concurrent one leaves an
incomplete directory. A directory that was damaged later is made again.
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
from stepbench.ownership import refuse_others_directory

VARIABLE = "STEPBENCH_CACHE_DIR"
"""The environment variable that sets the directory of the cache."""
MANIFEST = "manifest.json"
VERSION = 2
"""The version of the generated data, in the names of their directories; raised on a change."""

_SCRATCH = ".unfinished-"
_ABANDONED_S = 3600.0
"""The age, seconds, from which an unfinished directory counts as left by a killed process."""


def location() -> Path:
    """The directory of the cache: `STEPBENCH_CACHE_DIR`, or else the user's cache directory.

    Raises:
        UsageError: Root runs, and another user could change the directory.
    """
    if name := os.environ.get(VARIABLE):
        directory = Path(name).expanduser().absolute()
    else:
        directory = platformdirs.user_cache_path("stepbench", appauthor=False)
    refuse_others_directory(directory, f"{VARIABLE}={directory}")
    return directory


def intact(directory: Path) -> bool:
    """True if a directory has a manifest, the files that it lists and no others, all unchanged.

    This finds damage. It proves nothing about who made the files: whoever can write them can write
    the manifest. So no file in the cache may be of a kind that can run code.
    """
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        return bool(manifest == _digests(directory))
    except (OSError, ValueError):
        return False


def _digests(directory: Path) -> dict[str, str]:
    """The MD5 of each file but the manifest, by the file's path in the directory."""
    files = {path.relative_to(directory).as_posix(): path for path in directory.rglob("*")}
    return {
        name: _md5(path)
        for name, path in sorted(files.items())
        if path.is_file() and name != MANIFEST
    }


def ensure(directory: Path, make: Callable[[Path], None]) -> None:
    """Makes a directory in the cache; does nothing if the directory is intact.

    Args:
        directory: The directory's final path.
        make: Fills the empty directory that it is given.

    Raises:
        UsageError: The cache cannot be written.
    """
    if intact(directory):
        return
    try:
        _make(directory, make)
    except OSError as error:
        raise UsageError(
            f"{VARIABLE}={directory.parent}: generated data cannot be written there ({error}); "
            f"set {VARIABLE} to a writable directory with free space"
        ) from error


def _make(directory: Path, make: Callable[[Path], None]) -> None:
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_abandoned(directory.parent)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=directory.parent) as scratch:
        unfinished = Path(scratch, directory.name)
        unfinished.mkdir()
        make(unfinished)
        manifest = json.dumps(_digests(unfinished), indent=1)
        (unfinished / MANIFEST).write_text(manifest, encoding="utf-8")
        _move_into_place(unfinished, directory)


def _move_into_place(unfinished: Path, directory: Path) -> None:
    # Other processes may make the same directory. A rename fails if another process was first, or
    # if a damaged directory is in the way, which is then moved away. It does not fail repeatedly.
    for attempts_left in reversed(range(5)):
        try:
            unfinished.rename(directory)
        except OSError:
            if not attempts_left:
                raise
        else:
            return
        if intact(directory):
            return
        with contextlib.suppress(FileNotFoundError):
            directory.rename(Path(tempfile.mkdtemp(dir=unfinished.parent), "damaged"))


def _remove_abandoned(cache: Path) -> None:
    for scratch in cache.glob(_SCRATCH + "*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - scratch.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(scratch, ignore_errors=True)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
