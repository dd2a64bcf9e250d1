"""File locks, which the system releases when the process that holds them ends in any way."""

import errno
import os
import sys
from pathlib import Path
from typing import IO

from stepbench.errors import UsageError


def lock_directory(path: Path, option: str) -> IO[str]:
    """Locks a directory for as long as the returned file is open.

    Args:
        path: The directory.
        option: The command-line option that named the directory, for the error message.

    Raises:
        UsageError: Another process holds the lock.
        OSError: The lock file cannot be written.
    """
    file = path / ".lock"
    handle = try_lock(file, str(os.getpid()))
    if handle is None:
        owner = file.read_text().strip() or "unknown"
        raise UsageError(
            f"{option} {path}: in use by another run (process {owner}); wait until it ends, or "
            f"give another directory"
        )
    return handle


def try_lock(file: Path, content: str) -> IO[str] | None:
    """Locks a file for as long as the returned handle is open.

    Args:
        file: The file, which is created if it does not exist.
        content: Information about the owner, which is written to the file.

    Returns:
        The open file; `None` if another process holds the lock.

    Raises:
        OSError: The file cannot be written.
    """
    handle = file.open("a+")
    try:
        _lock_handle(handle)
    except OSError as error:
        handle.close()
        if error.errno in {errno.EACCES, errno.EAGAIN, errno.EDEADLK}:
            return None
        raise
    handle.truncate(0)
    handle.write(content)
    handle.flush()
    return handle


def _lock_handle(handle: IO[str]) -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl  # noqa: PLC0415

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
