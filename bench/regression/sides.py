"""Base and head: which files each has, in which environment, and how they differ."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.regression import git
from bench.regression.options import CheckOptions
from bench.regression.tree import STEPBENCH, Tree
from bench.regression.worktree import checked_out


@dataclass(frozen=True)
class Side:
    """A side of the comparison.

    Attributes:
        tree: Its files.
        commit: The commit that it is, or that the working tree is based on; `None` where there is
            no repository.
        described: What it is, in words.
        python: The Python that it runs in.
    """

    tree: Tree
    commit: str | None
    described: str
    python: Path

    def to_json(self) -> dict[str, Any]:
        """For the check's directory."""
        return {
            "commit": self.commit,
            "described": self.described,
            "python": None if self.python == Path(sys.executable) else str(self.python),
        }


@dataclass(frozen=True)
class Sides:
    """Both sides.

    Attributes:
        base: What is compared with.
        head: What is compared.
        fingerprint: Changes where head's files do, so that a check is not gone on with then.
        notes: What a reader has to know of how they differ, a sentence each.
        same_files: Whether both have the same files, so that a difference is noise, or the
            environment's.
    """

    base: Side
    head: Side
    fingerprint: str | None
    notes: tuple[str, ...]
    same_files: bool

    @property
    def environments(self) -> bool:
        """Whether the sides run in different environments."""
        return self.base.python != self.head.python

    def __getitem__(self, name: str) -> Side:
        """A side by its name."""
        return {"base": self.base, "head": self.head}[name]


@contextlib.contextmanager
def opened(asked: CheckOptions, apart: Path) -> Iterator[Sides]:
    """Both sides, with the files of revisions checked out for as long as the context lasts.

    Args:
        asked: What the check was asked to do.
        apart: Where the check writes, which is no part of head.

    Raises:
        UsageError: A revision is not known, or cannot be compared.
    """
    python = asked.base_python or Path(sys.executable)
    here = Path.cwd().resolve()
    if asked.base is None:
        tree = Tree("head", here, here, Path())
        head = Side(tree, None, f"the files in {here.name}", Path(sys.executable))
        base = Side(Tree("base", here, here, Path()), None, f"{head.described} in {python}", python)
        yield Sides(base, head, None, (), same_files=True)
        return
    repository = git.repository_of(here)
    within = here.relative_to(repository)
    _refuse_unshareable(asked.shared, repository)
    if asked.base_python is None:
        _refuse_shipped(asked, repository)
    base_commit = git.commit(repository, "--base", asked.base)
    head_commit = git.commit(repository, "--head", asked.head or "HEAD")
    changed = git.changed(repository, apart, base_commit.id, head_commit.id if asked.head else None)
    with contextlib.ExitStack() as stack:

        def place(commit: git.Commit, side: str) -> Path:
            return stack.enter_context(checked_out(repository, commit.id, side, asked.shared))

        base_place = place(base_commit, "base")
        head_place = place(head_commit, "head") if asked.head else repository
        dirty = () if asked.head else git.changed(repository, apart, head_commit.id, None)
        yield Sides(
            Side(
                Tree("base", repository, base_place, within, asked.shared),
                base_commit.id,
                _described(asked.base, base_commit),
                python,
            ),
            Side(
                Tree("head", repository, head_place, within, asked.shared),
                head_commit.id,
                _described(asked.head, head_commit)
                if asked.head
                else _working_tree(head_commit, dirty),
                Path(sys.executable),
            ),
            None if asked.head else git.fingerprint(repository, apart),
            tuple(_notes(changed, environments=asked.base_python is not None)),
            same_files=not changed,
        )


def _refuse_unshareable(shared: Sequence[Path], repository: Path) -> None:
    for path in shared:
        if not path.is_relative_to(repository):
            raise UsageError(
                f"--share {path}: lies outside {repository}, where both sides find it anyway; "
                f"leave it out"
            )


def _refuse_shipped(asked: CheckOptions, repository: Path) -> None:
    """Stepbench's own workloads are the same on both sides of anybody else's repository."""
    if repository == STEPBENCH:
        return
    for name in asked.run.matrix.axes["workload"]:
        if ":" not in name:
            raise UsageError(
                f"--workload {name}: is stepbench's own, and so the same in both revisions of "
                f"{repository.name}; name a workload of this repository, such as "
                f"--workload path/to/file.py:make"
            )


def _described(revision: str | None, commit: git.Commit) -> str:
    short = commit.id[:9]
    name = short if revision is None or commit.id.startswith(revision) else f"{revision}, {short}"
    return f"{name} ({commit.subject})"


def _working_tree(commit: git.Commit, dirty: Sequence[str]) -> str:
    if not dirty:
        return f"the working tree, {commit.id[:9]} ({commit.subject})"
    files = "a file" if len(dirty) == 1 else f"{len(dirty)} files"
    return (
        f"the working tree: {commit.id[:9]} ({commit.subject}) with uncommitted changes in {files}"
    )


def _notes(changed: Sequence[str], *, environments: bool) -> Iterator[str]:
    if not changed and not environments:
        yield (
            "Base and head have the same files, so that whatever differs is noise: this tries the "
            "check itself."
        )
    needs = git.dependencies(changed)
    if needs and not environments:
        yield (
            f"{', '.join(needs)} {'differ' if len(needs) > 1 else 'differs'}, and both sides ran "
            f"in head's environment: where packages differ that bear upon speed, give base its "
            f"own with --base-python."
        )
