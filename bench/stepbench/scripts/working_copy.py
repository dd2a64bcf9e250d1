"""Scratch copies of the working tree, where several scripts live at once.

Two scripts in one directory would write the same checkpoint, or read each other's.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from stepbench.errors import UsageError
from stepbench.results.writing import StoreError
from stepbench.scripts.requests import ScriptCommand

MAX_COPY_BYTES = 2 << 30
"""The largest working tree that is copied."""
LEFT_OUT = {".git", ".hg", ".svn", "__pycache__", ".mypy_cache", ".pytest_cache"}
"""Folders that no copy has."""


def refuse_large_tree(tree: Path, shared: Collection[Path]) -> None:
    """Refuses a tree that is too large to be copied for each script.

    Args:
        tree: The working tree.
        shared: The folders that a copy only links to.

    Raises:
        UsageError: The tree is too large; the message names its largest folder or file.
    """
    sizes: dict[str, int] = {}
    for folder, names, files in os.walk(tree):
        here = Path(folder)
        names[:] = [name for name in names if not _is_left_out(here / name, shared)]
        for name in files:
            if here / name in shared:
                continue
            top = (here / name).relative_to(tree).parts[0]
            with contextlib.suppress(OSError):
                sizes[top] = sizes.get(top, 0) + (here / name).lstat().st_size
        if sum(sizes.values()) > MAX_COPY_BYTES:
            largest = max(sizes, key=sizes.__getitem__)
            raise UsageError(
                f"{tree} is larger than {MAX_COPY_BYTES >> 30} GiB, and each script runs in a copy "
                f"of it; link to what scripts only read, such as --share {largest}"
            )


@contextlib.contextmanager
def copied(tree: Path, shared: Collection[Path]) -> Iterator[Path]:
    """Copies a working tree, and removes the copy at the context's end.

    Args:
        tree: The working tree.
        shared: The folders and files that the copy only links to.

    Raises:
        StoreError: A file cannot be read, or there is no room for the copy.
    """
    scratch = Path(tempfile.mkdtemp(prefix="stepbench-script-"))
    try:
        try:
            made = copy(tree, scratch / tree.name, shared)
        except OSError as error:  # of several files, each with its reason
            reason = error.args[0][0][-1] if isinstance(error, shutil.Error) else error
            raise StoreError(
                f"{tree} cannot be copied to {scratch.parent} ({reason}), where each script runs; "
                f"link to what scripts only read with --share, or set TMPDIR"
            ) from None
        yield made
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def copy(tree: Path, target: Path, shared: Collection[Path]) -> Path:
    """Copies a working tree to a new folder, which is returned."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if _is_left_out(Path(folder) / name, shared)}

    shutil.copytree(tree, target, symlinks=True, ignore=ignored)
    for link in [*shared, *_environments(tree)]:
        place = target / link.relative_to(tree)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.symlink_to(link)
    _point_out_of(target, tree)
    return target


def _point_out_of(copied_tree: Path, tree: Path) -> None:
    """Has relative links that lead out of a tree lead to the same place from its copy."""
    for folder, names, files in os.walk(copied_tree):
        for place in (Path(folder, name) for name in (*names, *files)):
            if place.is_symlink() and not os.path.isabs(os.readlink(place)):  # noqa: PTH115, PTH117
                origin = tree / place.relative_to(copied_tree)
                led_to = Path(os.path.normpath(origin.parent / os.readlink(place)))  # noqa: PTH115
                if not led_to.is_relative_to(tree):
                    place.unlink()
                    place.symlink_to(led_to)


def script_in(copied_tree: Path, tree: Path, script: ScriptCommand) -> ScriptCommand:
    """The script as it is started in a copy: an absolute path in the tree is moved there."""
    path = Path(script.target)
    if script.is_module or not path.is_absolute() or not path.is_relative_to(tree):
        return script
    moved = copied_tree / path.relative_to(tree)
    return ScriptCommand(str(moved), script.is_module, script.arguments)


def _is_left_out(path: Path, shared: Collection[Path]) -> bool:
    return (
        path.name in LEFT_OUT
        or path in shared
        or (path / "pyvenv.cfg").is_file()
        or _holds_results(path)
        or not (path.is_file() or path.is_dir() or path.is_symlink())  # a socket or a pipe
    )


def _holds_results(path: Path) -> bool:
    """True for a folder in which stepbench keeps runs."""
    try:
        return (path / ".gitignore").read_text().startswith("# Created by stepbench")
    except (OSError, UnicodeDecodeError):
        return False


def _environments(tree: Path) -> list[Path]:
    """The virtual environments at the top of a tree, which a copy links to."""
    return [path for path in tree.iterdir() if (path / "pyvenv.cfg").is_file()]
