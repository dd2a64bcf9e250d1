"""A revision's files, beside the repository for as long as a check takes.

They are removed whatever ends the check: a guardian process of its own waits for the check's end,
which it sees as the end of a pipe, also where the check was killed. What is left where the guardian
was killed as well, the next check removes.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from bench.errors import UsageError
from bench.regression import git

PREFIX = "stepbench-"
"""What the name of a worktree's directory begins with; the check's process follows."""
MOST_S = 20.0
"""How long removing it is tried at most."""
FILES = "files"
"""The folder of it that holds the revision's files."""


@contextlib.contextmanager
def guarded(name: str, repository: Path | None = None) -> Iterator[Path]:
    """A temporary directory that is removed whatever ends this process.

    Args:
        name: For the directory's own.
        repository: Of which a worktree may lie in it.
    """
    holder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-{name}-")).resolve()
    guardian = subprocess.Popen(
        [sys.executable, "-P", "-c", _GUARDIAN, str(holder), str(repository or ""), *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # so that Ctrl-C, or a kill of the group, does not reach it
    )
    try:
        yield holder
    finally:
        guardian.stdin.close()  # type: ignore[union-attr]  # it is a pipe
        guardian.wait()


@contextlib.contextmanager
def checked_out(
    repository: Path, commit: str, side: str, shared: Sequence[Path] = ()
) -> Iterator[Path]:
    """A commit's files in a temporary directory.

    Args:
        repository: Where the commit is.
        commit: Its full name.
        side: For the directory's name.
        shared: Files and folders of the repository that git does not keep and that both sides are
            to have, such as data: linked from there.

    Raises:
        UsageError: git cannot check it out.
    """
    sweep(repository)
    with guarded(side, repository) as holder:
        files = holder / FILES
        try:
            git.ask(repository, "worktree", "add", "--detach", "--force", str(files), commit)
        except subprocess.CalledProcessError as error:
            raise UsageError(
                f"--{side}: git could not check out {commit[:12]}: {error.stderr.strip()}"
            ) from None
        for place in shared:
            _link(place, files / place.relative_to(repository))
        yield files


def _link(place: Path, link: Path) -> None:
    if link.exists():
        raise UsageError(
            f"--share {place}: git keeps this, and so each side has its own; share what it ignores"
        )
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(place, target_is_directory=place.is_dir())


_GUARDIAN = (
    "import sys; holder, repository, *sys.path[:] = sys.argv[1:]; "
    "from bench.regression.worktree import guard; guard(holder, repository)"
)


def guard(holder: str, repository: str) -> None:
    """The guardian's whole life: waits until the check is gone, then removes its directory."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    remove(Path(holder), Path(repository) if repository else None)


def remove(holder: Path, repository: Path | None) -> None:
    """Removes a directory, and what git knows of a worktree in it.

    Where a kill left git at work on it, that may take a few tries.
    """
    until = time.monotonic() + MOST_S
    while True:
        shutil.rmtree(holder, ignore_errors=True)
        known = [] if repository is None else _records(repository, holder)
        for record in known:
            shutil.rmtree(record, ignore_errors=True)
        if (not holder.exists() and not known) or time.monotonic() > until:
            return
        time.sleep(0.2)


def _records(repository: Path, holder: Path) -> list[Path]:
    """What git keeps of the worktrees in a directory. Others' are not looked into.

    `git worktree prune` would also drop those of the user's that are not mounted just now, and
    would leave one whose checkout was cut off.
    """
    common = git.ask(repository, "rev-parse", "--path-format=absolute", "--git-common-dir")
    found = []
    for record in (Path(common) / "worktrees").glob("*/gitdir"):
        with contextlib.suppress(OSError):
            if Path(record.read_text().strip()).is_relative_to(holder):
                found.append(record.parent)
    return found


def sweep(repository: Path) -> None:
    """Removes worktrees of checks that are gone, and whose guardians were killed too."""
    for line in git.ask(repository, "worktree", "list", "--porcelain").splitlines():
        word, _, place = line.partition(" ")
        holder = Path(place).parent
        if word != "worktree" or not holder.name.startswith(PREFIX):
            continue
        owner = holder.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            remove(holder, repository)
