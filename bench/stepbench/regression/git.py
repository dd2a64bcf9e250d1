"""Queries git. Nothing here changes a repository's files, branches or index."""

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stepbench.errors import UsageError
from stepbench_reports.schema.cause import ChangedLines

DEPENDENCIES = (
    "pyproject.toml", "setup.py", "setup.cfg", "requirements*.txt", "environment*.y*ml",
    "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pixi.lock",
)  # fmt: skip
"""Files that name the packages that a repository needs."""


def run(directory: Path, *arguments: str) -> str:
    """Runs a git command and returns the command's output, without trailing newlines.

    Raises:
        UsageError: git is not installed.
        subprocess.CalledProcessError: git failed; `stderr` holds the reason.
    """
    try:
        completed = subprocess.run(
            ["git", "-C", str(directory), "-c", f"core.hooksPath={os.devnull}", *arguments],  # noqa: S607  # whichever git the user has
            check=True,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except FileNotFoundError:
        raise UsageError("--base: git is not installed; install it") from None
    return completed.stdout.rstrip("\n")


def repository_of(directory: Path) -> Path:
    """The root of the repository that contains a directory.

    Raises:
        UsageError: The directory is in no repository.
    """
    try:
        return Path(run(directory, "rev-parse", "--show-toplevel")).resolve()
    except subprocess.CalledProcessError as error:
        raise UsageError(
            f"--base: git finds no repository in {directory} ({error.stderr.strip()}); run the "
            f"check in the repository to compare, or compare environments with --base-python alone"
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


def resolve(repository: Path, option: str, revision: str) -> Commit:
    """Resolves a revision to a commit.

    Raises:
        UsageError: The repository knows no such revision.
    """
    try:
        commit_id = run(repository, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    except subprocess.CalledProcessError:
        shallow = run(repository, "rev-parse", "--is-shallow-repository") == "true"
        remedy = (
            "this is a shallow clone without most revisions; fetch the revision first (in GitHub "
            "Actions: fetch-depth: 0)"
            if shallow
            else f"give one that git log shows, or fetch it first; available: {_refs(repository)}"
        )
        raise UsageError(
            f"{option} {revision}: there is no such revision in {repository}; {remedy}"
        ) from None
    return Commit(commit_id, run(repository, "log", "-1", "--format=%s", commit_id))


def _refs(repository: Path) -> str:
    names = run(repository, "for-each-ref", "--format=%(refname:short)", "--count=8", "refs")
    return ", ".join(names.split()) or "none"


def changed_files(
    repository: Path, check_directory: Path, base: str, head: str | None
) -> tuple[str, ...]:
    """The files in which two commits differ.

    Args:
        repository: The repository.
        check_directory: The check's directory, whose files do not count.
        base: A commit.
        head: Another commit; `None` for the working tree, with new files that are not ignored.
    """
    commits = [base] if head is None else [base, head]
    diff = run(repository, "diff", "--no-ext-diff", "--name-only", "-z", *commits, "--")
    new_files = untracked_files(repository, check_directory) if head is None else ()
    return tuple(dict.fromkeys([*_entries(diff), *new_files]))


_FILE = re.compile(r"^\+\+\+ (?:b/)?(?P<name>.+?)\t?$")
_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(?P<first>\d+)(?:,(?P<count>\d+))? @@")
MAX_CHANGES = 200
"""The most changes that are listed."""
MAX_CODE_LINES = 5
"""The most lines of code that are quoted from a change."""


def changed_lines(
    repository: Path, check_directory: Path, base: str, head: str | None
) -> tuple[ChangedLines, ...]:
    """The lines of Python files that head adds, changes or removes, at most `MAX_CHANGES` changes.

    Args:
        repository: The repository.
        check_directory: The check's directory, whose files do not count.
        base: A commit.
        head: Another commit; `None` for the working tree, with new files that are not ignored.
    """
    commits = [base] if head is None else [base, head]
    options = ("--no-ext-diff", "--no-color", "--unified=0", "--src-prefix=a/", "--dst-prefix=b/")
    diff = run(repository, "-c", "core.quotePath=off", "diff", *options, *commits, "--", "*.py")
    changes = list(_changes(diff))
    if head is None:
        for name in untracked_files(repository, check_directory):
            if name.endswith(".py") and (repository / name).is_file():  # and no dangling link
                lines = (repository / name).read_text(errors="replace").splitlines()
                code = tuple(lines[:MAX_CODE_LINES])
                changes.append(ChangedLines(file=name, first=1, count=len(lines), code=code))
    return tuple(changes[:MAX_CHANGES])


def _changes(diff: str) -> Iterator[ChangedLines]:
    """Reads the changes from a diff without context."""
    file, code = "", list[str]()
    hunk: re.Match[str] | None = None

    def change() -> Iterator[ChangedLines]:
        if hunk is not None and file != os.devnull:
            yield ChangedLines(
                file=file,
                first=int(hunk["first"]),
                count=int(hunk["count"] or 1),
                code=tuple(code[:MAX_CODE_LINES]),
            )

    for line in diff.split("\n"):
        new_hunk = _HUNK.match(line)
        if new_hunk is not None or line.startswith("diff --git "):
            yield from change()
            hunk, code = new_hunk, []
        elif hunk is None and (name := _FILE.match(line)) is not None:
            file = name["name"]
        elif hunk is not None and line.startswith("+"):
            code.append(line[1:])
    yield from change()


def untracked_files(repository: Path, check_directory: Path) -> Sequence[str]:
    """Files that git neither tracks nor ignores, outside `check_directory` and except bytecode."""
    output = run(repository, "ls-files", "--others", "--exclude-standard", "-z")
    return [
        name
        for name in _entries(output)
        if "__pycache__" not in Path(name).parts
        and not (repository / name).is_relative_to(check_directory)
    ]


def dependency_files(files: Sequence[str]) -> tuple[str, ...]:
    """Selects the files that name the packages to install, by `DEPENDENCIES`."""
    return tuple(
        file for file in files if any(Path(file).match(pattern) for pattern in DEPENDENCIES)
    )


def fingerprint(repository: Path, check_directory: Path) -> str:
    """A digest that changes with any file of the working tree that git does not ignore.

    Args:
        repository: The repository.
        check_directory: The check's directory, whose files do not count.
    """
    digest = hashlib.sha256(run(repository, "rev-parse", "HEAD").encode())
    changes = run(repository, "diff", "--no-ext-diff", "HEAD", "--binary")
    digest.update(changes.encode(errors="surrogateescape"))
    for name in untracked_files(repository, check_directory):
        digest.update(name.encode(errors="surrogateescape"))
        stat = (repository / name).lstat()
        digest.update(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()


def _entries(output: str) -> list[str]:
    """Splits the output of a git command with `-z`."""
    return [entry for entry in output.split("\0") if entry]
