"""What the gate asks git. Nothing here changes a repository's files, branches or index."""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError

DEPENDENCIES = (
    "pyproject.toml", "setup.py", "setup.cfg", "requirements*.txt", "environment*.y*ml",
    "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pixi.lock",
)  # fmt: skip
"""Files that say what a repository needs installed."""


def ask(place: Path, *words: str) -> str:
    """What git answers, without the last line's end.

    Raises:
        UsageError: There is no git.
        subprocess.CalledProcessError: git says no; `stderr` says why.
    """
    try:
        done = subprocess.run(
            ["git", "-C", str(place), "-c", f"core.hooksPath={os.devnull}", *words],  # noqa: S607  # whichever git the user has
            check=True,
            capture_output=True,
            text=True,
            errors="surrogateescape",
        )
    except FileNotFoundError:
        raise UsageError("--base: needs git, and there is none; install it") from None
    return done.stdout.rstrip("\n")


def repository_of(place: Path) -> Path:
    """The top of the repository that a directory is in.

    Raises:
        UsageError: It is in none.
    """
    try:
        return Path(ask(place, "rev-parse", "--show-toplevel")).resolve()
    except subprocess.CalledProcessError as error:
        raise UsageError(
            f"--base: git finds no repository in {place} ({error.stderr.strip()}); run the check "
            f"where the code lies that is to be compared, or compare environments with "
            f"--base-python alone"
        ) from None


@dataclass(frozen=True)
class Commit:
    """A commit.

    Attributes:
        id: Its full name.
        subject: The first line of its message.
    """

    id: str
    subject: str


def commit(repository: Path, option: str, revision: str) -> Commit:
    """The commit that a revision stands for.

    Raises:
        UsageError: The repository knows no such revision.
    """
    try:
        found = ask(repository, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except subprocess.CalledProcessError:
        shallow = ask(repository, "rev-parse", "--is-shallow-repository") == "true"
        fetch = (
            "this is a shallow clone, which lacks most revisions: fetch it first (in GitHub "
            "Actions: fetch-depth: 0)"
            if shallow
            else "name one that git log shows, or fetch it first; "
            f"there are {_branches(repository)}"
        )
        raise UsageError(
            f"{option} {revision}: {repository} knows no such revision; {fetch}"
        ) from None
    return Commit(found, ask(repository, "log", "-1", "--format=%s", found))


def _branches(repository: Path) -> str:
    names = ask(repository, "for-each-ref", "--format=%(refname:short)", "--count=8", "refs")
    return ", ".join(names.split()) or "none"


def changed(repository: Path, apart: Path, one: str, other: str | None) -> tuple[str, ...]:
    """The files in which two commits differ.

    Args:
        repository: Where.
        apart: A directory that does not count: where the check itself writes.
        one: A commit.
        other: Another; `None` for the working tree, with files that are new and not ignored.
    """
    between = [one] if other is None else [one, other]
    found = _lines(ask(repository, "diff", "--no-ext-diff", "--name-only", "-z", *between, "--"))
    return tuple(dict.fromkeys([*found, *(untracked(repository, apart) if other is None else ())]))


def untracked(repository: Path, apart: Path) -> Sequence[str]:
    """Files that git neither keeps nor ignores; what lies apart, and bytecode, do not count."""
    found = _lines(ask(repository, "ls-files", "--others", "--exclude-standard", "-z"))
    return [
        name
        for name in found
        if "__pycache__" not in Path(name).parts and not (repository / name).is_relative_to(apart)
    ]


def dependencies(files: Sequence[str]) -> tuple[str, ...]:
    """Those of some files that say what is to be installed."""
    return tuple(
        file for file in files if any(Path(file).match(pattern) for pattern in DEPENDENCIES)
    )


def fingerprint(repository: Path, apart: Path) -> str:
    """Changes where any file of the working tree does that git does not ignore.

    Args:
        repository: Where.
        apart: A directory that does not count: where the check itself writes.
    """
    digest = hashlib.sha256(ask(repository, "rev-parse", "HEAD").encode())
    changes = ask(repository, "diff", "--no-ext-diff", "HEAD", "--binary")
    digest.update(changes.encode(errors="surrogateescape"))
    for name in untracked(repository, apart):
        digest.update(name.encode(errors="surrogateescape"))
        stat = (repository / name).lstat()
        digest.update(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()


def _lines(answer: str) -> list[str]:
    return [line for line in answer.split("\0") if line]
