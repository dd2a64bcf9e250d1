"""Queries git. Nothing here changes a repository's files, branches or index."""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stepbench.errors import UsageError

DEPENDENCIES = (
    "pyproject.toml", "setup.py", "setup.cfg", "requirements*.txt", "environment*.y*ml",
    "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pixi.lock",
)  # fmt: skip
"""Files that name the packages that a repository needs."""


def ask(directory: Path, *words: str) -> str:
    """Runs a git command and returns the command's output, without trailing newlines.

    Raises:
        UsageError: git is not installed.
        subprocess.CalledProcessError: git failed; `stderr` holds the reason.
    """
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), "-c", f"core.hooksPath={os.devnull}", *words],  # noqa: S607  # whichever git the user has
            check=True,
            capture_output=True,
            text=True,
            errors="surrogateescape",
        )
    except FileNotFoundError:
        raise UsageError("--base: needs git, and there is none; install it") from None
    return done.stdout.rstrip("\n")


def repository_of(directory: Path) -> Path:
    """The root of the repository that contains a directory.

    Raises:
        UsageError: The directory is in no repository.
    """
    try:
        return Path(ask(directory, "rev-parse", "--show-toplevel")).resolve()
    except subprocess.CalledProcessError as error:
        raise UsageError(
            f"--base: git finds no repository in {directory} ({error.stderr.strip()}); run the "
            f"check where the code lies that is to be compared, or compare environments with "
            f"--base-python alone"
        ) from None


@dataclass(frozen=True)
class Commit:
    """A commit.

    Attributes:
        id: The full hash.
        subject: The first line of the message.
    """

    id: str
    subject: str


def commit(repository: Path, option: str, revision: str) -> Commit:
    """Resolves a revision to a commit.

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
        repository: The repository.
        apart: The check's directory, whose files do not count.
        one: A commit.
        other: Another commit; `None` for the working tree, with new files that are not ignored.
    """
    between = [one] if other is None else [one, other]
    found = _lines(ask(repository, "diff", "--no-ext-diff", "--name-only", "-z", *between, "--"))
    return tuple(dict.fromkeys([*found, *(untracked(repository, apart) if other is None else ())]))


def untracked(repository: Path, apart: Path) -> Sequence[str]:
    """Files that git neither tracks nor ignores, without those of `apart` and bytecode."""
    found = _lines(ask(repository, "ls-files", "--others", "--exclude-standard", "-z"))
    return [
        name
        for name in found
        if "__pycache__" not in Path(name).parts and not (repository / name).is_relative_to(apart)
    ]


def dependencies(files: Sequence[str]) -> tuple[str, ...]:
    """Selects the files that name the packages to install, by `DEPENDENCIES`."""
    return tuple(
        file for file in files if any(Path(file).match(pattern) for pattern in DEPENDENCIES)
    )


def fingerprint(repository: Path, apart: Path) -> str:
    """A digest that changes with any file of the working tree that git does not ignore.

    Args:
        repository: The repository.
        apart: The check's directory, whose files do not count.
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
