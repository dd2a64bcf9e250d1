"""File locks, which the system releases when the process that holds them ends in any way.

A lock file is never opened through a link, and nothing is written through one.
"""

import errno
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import filelock

from stepbench.errors import UsageError
from stepbench.results.no_links import open_without_links

LOCK = ".lock"
"""The lock file of a directory."""
OWNER = ".owner"
"""The file of a directory that names the process that holds the lock, for messages."""


class HeldLock:
    """A lock that is held until `close`, or until the end of a `with` block.

    Args:
        lock: The acquired lock.
    """

    def __init__(self, lock: filelock.BaseFileLock) -> None:
        self._lock = lock

    def close(self) -> None:
        """Releases the lock."""
        self._lock.release()

    def __enter__(self) -> Self:
        """Returns the lock."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Releases the lock."""
        self.close()


def lock_directory(path: Path, option: str) -> HeldLock:
    """Locks a directory.

    Args:
        path: The directory.
        option: The command-line option that named the directory, for the error message.

    Raises:
        UsageError: Another process holds the lock, or the lock file is a link.
        OSError: The lock file cannot be written.
    """
    owner = path / OWNER
    try:
        lock = try_lock(path / LOCK)
        if lock is None:
            raise UsageError(
                f"{option} {path}: in use by another run (process {_process(owner)}); wait until "
                f"it ends, or give another directory"
            )
        with open_without_links(owner, "w") as file:
            file.write(str(os.getpid()))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UsageError(
                f"{option} {path}: {LOCK} or {OWNER} in it is a link, and stepbench writes through "
                f"no links; remove it, or give another directory"
            ) from None
        raise
    return lock


def _process(owner: Path) -> str:
    """The number of the process that holds a lock."""
    try:
        with open_without_links(owner, "r") as file:
            number = file.read(20)
    except OSError:
        return "unknown"
    return number if number.isdecimal() else "unknown"


def try_lock(file: Path) -> HeldLock | None:
    """Locks a file.

    Args:
        file: The file, which is created if it does not exist.

    Returns:
        The lock; `None` if another process holds it.

    Raises:
        OSError: The file cannot be written, or is a link (`ELOOP`).
    """
    lock = filelock.FileLock(file, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        return None
    return HeldLock(lock)


def remove_lock_files(path: Path) -> None:
    """Removes the files of a directory's lock."""
    for name in (OWNER, LOCK):
        (path / name).unlink(missing_ok=True)
