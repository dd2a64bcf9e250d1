"""Opens files without following links, and refuses links in a directory of results."""

import os
from pathlib import Path
from typing import IO

from stepbench.errors import UsageError


def open_without_links(file: Path, mode: str) -> IO[str]:
    """Opens a text file in UTF-8, unless it is a symbolic link.

    Args:
        file: The file.
        mode: `r`, `w` or `a`, as of `open`.

    Raises:
        OSError: The file cannot be opened, or is a link (`ELOOP`).
    """
    return open(  # Path.open takes no opener
        file, mode, encoding="utf-8", errors="backslashreplace", opener=_open
    )


def _open(path: str, flags: int) -> int:
    # A pipe or a device in the file's place must not block.
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags, 0o666)


def refuse_links(path: Path, option: str) -> None:
    """Refuses a directory that holds a symbolic link, through which a run would write.

    Raises:
        UsageError: A file or folder in the directory, at any depth, is a link.
    """
    for folder, names, files in os.walk(path):
        for name in (*names, *files):
            refuse_link(Path(folder, name), path, option)


def refuse_link(entry: Path, path: Path, option: str) -> None:
    """Refuses a file or folder in a directory if it is a symbolic link.

    Raises:
        UsageError: The entry is a link.
    """
    if entry.is_symlink():
        raise UsageError(
            f"{option} {path}: {entry.relative_to(path)} in it is a link, and stepbench writes "
            f"through no links; replace it by what it points to, or remove it"
        )
