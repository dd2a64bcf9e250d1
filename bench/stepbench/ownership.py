"""Refuses a directory that another user of the machine could tamper with, where root runs.

Root writes into a directory with root's rights: whoever can put links there, or replace the
directory, chooses what root overwrites. Other users lose no more than their own files, and often
share directories with their group, so nothing is refused for them.
"""

import os
import stat
from pathlib import Path

from stepbench.errors import UsageError


def refuse_others_directory(path: Path, option: str) -> None:
    """Refuses a directory that another user owns or can write, if this process is root's.

    All directories on the path count, except the current directory and those that it lies in: from
    there, code is run anyway. A directory that everybody can write is accepted above `path` if it
    is sticky, as `/tmp` is. Accepted owners are root, the user who called `sudo`, and a user
    without an account on this system: in a container, mounted directories often belong to a number
    that means nothing there.

    Args:
        path: The directory; it may not exist yet.
        option: The option or variable, and its value, for the error message.

    Raises:
        UsageError: Another user owns or can write the directory, or one that it lies in.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    resolved, here = path.resolve(), Path.cwd()
    for directory in (resolved, *resolved.parents):
        if here.is_relative_to(directory):
            return
        try:
            status = directory.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        fault = _fault(status, may_be_sticky=directory != resolved)
        if fault is not None:
            raise UsageError(
                f"{option}: {directory} {fault}, who could choose which files root overwrites; "
                f"run as that user, or give a directory that only root can write"
            )


def _fault(status: os.stat_result, *, may_be_sticky: bool) -> str | None:
    """Describes who else owns or can write a directory; `None` if nobody does."""
    if _is_another(status.st_uid):
        return f"belongs to {_user(status.st_uid)}"
    if may_be_sticky and status.st_mode & stat.S_ISVTX:
        return None
    if status.st_mode & stat.S_IWOTH:
        return f"can be written by every user (mode {stat.S_IMODE(status.st_mode):o})"
    if status.st_mode & stat.S_IWGRP and status.st_gid != 0:
        return f"can be written by the users of group {status.st_gid}"
    return None


def _is_another(uid: int) -> bool:
    """True for a user with an account who is neither root nor called `sudo`."""
    if uid == 0 or str(uid) == os.environ.get("SUDO_UID"):
        return False
    return _user(uid) is not None


def _user(uid: int) -> str | None:
    """The name of a user; `None` without an account."""
    import pwd  # noqa: PLC0415  # there is none on Windows

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
