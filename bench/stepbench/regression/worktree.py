"""Checks out a revision's files in a temporary directory, while a check runs.

Temporary directories are removed when the check ends, also by Ctrl-C or SIGTERM. The next check
removes the directories of a killed check. Such a directory contains a lock file whose lock the
system has released.
"""

import contextlib
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from stepbench.errors import UsageError
from stepbench.regression import git
from stepbench.results.lock import HeldLock, try_lock

PREFIX = "stepbench-check-"
"""The beginning of the name of a check's temporary directory."""
FILES = "files"
"""The folder of a temporary directory that holds a revision's files."""
REPOSITORY = "repository"
"""The file of a temporary directory that names the repository of any worktree there."""
LOCK = "lock"
"""The file of a temporary directory that the running check has locked."""
MAX_REMOVAL_S = 20.0
"""The longest time for attempts to remove a directory, seconds."""
UNLOCKED_S = 60.0
"""The age beyond which a directory without a lock counts as left over, seconds. A younger directory
may be about to be locked."""


@contextlib.contextmanager
def temporary_directory(name: str, repository: Path | None = None) -> Iterator[Path]:
    """Makes a temporary directory while the context lasts; removes left-over ones first.

    Args:
        name: A part of the directory's name.
        repository: The repository whose worktree the directory may hold.
    """
    sweep(repository)
    directory, lock = _locked_directory(name)
    with lock:
        try:
            if repository is not None:
                (directory / REPOSITORY).write_bytes(os.fsencode(repository))
            yield directory
        finally:
            remove(directory, repository)


def _locked_directory(name: str) -> tuple[Path, HeldLock]:
    """Makes a directory, and locks it before the sweep of another check can."""
    while True:
        directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-")).resolve()
        with contextlib.suppress(FileNotFoundError):  # another check removed the directory
            lock = try_lock(directory / LOCK)
            if lock is not None:
                return directory, lock


@contextlib.contextmanager
def checked_out(
    repository: Path, commit: str, side: str, shared: Sequence[Path] = ()
) -> Iterator[Path]:
    """Checks out a commit in a temporary directory, while the context lasts.

    Args:
        repository: The repository that has the commit.
        commit: The commit's full hash.
        side: `base` or `head`.
        shared: Files and folders that git ignores and that both sides need, such as data. They are
            linked from the repository.

    Raises:
        UsageError: git cannot check out the commit, or tracks a shared file.
    """
    with temporary_directory(side, repository) as directory:
        files = directory / FILES
        try:
            git.run(repository, "worktree", "add", "--detach", "--force", str(files), commit)
        except subprocess.CalledProcessError as error:
            raise UsageError(
                f"--{side}: git could not check out {commit[:12]}: {error.stderr.strip()}"
            ) from None
        for path in shared:
            _link(path, files / path.relative_to(repository))
        yield files


def _link(path: Path, link: Path) -> None:
    if link.exists():
        raise UsageError(
            f"--share {path}: git tracks this path, so each side has its own version; share only "
            f"files that git ignores"
        )
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(path, target_is_directory=path.is_dir())


def remove(directory: Path, repository: Path | None) -> None:
    """Removes a temporary directory, and git's records of a worktree in the directory.

    Removal may take a few attempts if git is still at work on the worktree of a killed check.

    Args:
        directory: The temporary directory; it may be gone already.
        repository: The repository whose worktree the directory may hold.
    """
    deadline = time.monotonic() + MAX_REMOVAL_S
    while True:
        shutil.rmtree(directory, ignore_errors=True)
        records = [] if repository is None else _worktree_records(repository, directory)
        for record in records:
            shutil.rmtree(record, ignore_errors=True)
        if (not directory.exists() and not records) or time.monotonic() > deadline:
            return
        time.sleep(0.2)


def _worktree_records(repository: Path, directory: Path) -> list[Path]:
    """Finds git's records of the worktrees in a directory; a missing repository has none.

    `git worktree prune` is unsuitable: it would also drop worktrees of the user that are currently
    not mounted, and would keep a worktree whose checkout was cut off.
    """
    try:
        git_directory = git.run(
            repository, "rev-parse", "--path-format=absolute", "--git-common-dir"
        )
    except subprocess.CalledProcessError:
        return []
    records = []
    for record in (Path(git_directory) / "worktrees").glob("*/gitdir"):
        with contextlib.suppress(OSError):
            if Path(os.fsdecode(record.read_bytes().strip())).is_relative_to(directory):
                records.append(record.parent)
    return records


def sweep(repository: Path | None) -> None:
    """Removes the temporary directories of checks whose processes are gone.

    Args:
        repository: A repository whose worktrees are searched as well. A worktree's directory may
            be under another `TMPDIR`, or may have disappeared when the machine was restarted.
    """
    directories = set(Path(tempfile.gettempdir()).resolve().glob(f"{PREFIX}*"))
    if repository is not None:
        for line in git.run(repository, "worktree", "list", "--porcelain").splitlines():
            key, _, path = line.partition(" ")
            if key == "worktree" and Path(path).parent.name.startswith(PREFIX):
                directories.add(Path(path).parent)
    for directory in sorted(directories):
        if _belongs_to_user(directory):
            # git may be missing, or the removal not permitted: the next check tries again.
            with contextlib.suppress(OSError, UsageError):
                _remove_left_over(directory, repository)


def _belongs_to_user(directory: Path) -> bool:
    """True for a directory of this user, and for a missing one; others' are never opened."""
    try:
        status = directory.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


def _remove_left_over(directory: Path, repository: Path | None) -> None:
    if not directory.exists():
        remove(directory, repository)
    elif not (directory / LOCK).exists():
        if time.time() - directory.stat().st_mtime > UNLOCKED_S:
            remove(directory, repository)
    else:
        lock = try_lock(directory / LOCK)
        if lock is not None:
            with lock:
                record = directory / REPOSITORY
                remove(
                    directory,
                    Path(os.fsdecode(record.read_bytes())) if record.exists() else repository,
                )
