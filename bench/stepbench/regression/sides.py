"""Base and head: the files, commit and environment of each side, and the sides' differences."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stepbench.errors import UsageError
from stepbench.regression import git
from stepbench.regression.options import CheckOptions
from stepbench.regression.tree import STEPBENCH, Tree
from stepbench.regression.worktree import checked_out
from stepbench_reports.schema.check import SideFacts, SideName
from stepbench_reports.schema.machine import Packages


@dataclass(frozen=True)
class Side:
    """A side of the comparison.

    Attributes:
        tree: The side's files.
        commit: The side's commit, or the commit that the working tree is based on; `None` if
            only environments are compared.
        described: A description for readers.
        python: The Python interpreter that runs the side.
    """

    tree: Tree
    commit: str | None
    described: str
    python: Path

    def facts(self, packages: Packages) -> SideFacts:
        """The side's part of `check.json`, with the versions of its packages."""
        return SideFacts(
            commit=self.commit,
            described=self.described,
            python=None if self.python == Path(sys.executable) else str(self.python),
            packages=packages,
        )


@dataclass(frozen=True)
class Sides:
    """Both sides.

    Attributes:
        base: The side that head is compared with.
        head: The side that is compared.
        fingerprint: A digest of head's working tree, which must not change before a check is
            resumed; `None` if head is a revision, or only environments are compared.
        notes: Sentences on the differences of the sides, for readers.
        same_files: True if both sides have the same files, so that a difference is due to noise or
            the environment.
    """

    base: Side
    head: Side
    fingerprint: str | None
    notes: tuple[str, ...]
    same_files: bool

    @property
    def environments(self) -> bool:
        """True if the sides run in different environments."""
        return self.base.python != self.head.python

    def __getitem__(self, name: SideName) -> Side:
        """A side by its name."""
        return {"base": self.base, "head": self.head}[name]


@contextlib.contextmanager
def opened(options: CheckOptions, apart: Path) -> Iterator[Sides]:
    """Opens both sides, with the files of revisions checked out while the context lasts.

    Args:
        options: The check's options.
        apart: The check's directory, which is no part of head.

    Raises:
        UsageError: A revision is unknown, or cannot be compared.
    """
    python = options.base_python or Path(sys.executable)
    here = Path.cwd().resolve()
    if options.base is None:
        tree = Tree("head", here, here, Path())
        head = Side(tree, None, f"the files in {here.name}", Path(sys.executable))
        base = Side(Tree("base", here, here, Path()), None, f"{head.described} in {python}", python)
        yield Sides(base, head, None, (), same_files=True)
        return
    repository = git.repository_of(here)
    within = here.relative_to(repository)
    _refuse_unshareable(options.shared, repository)
    if options.base_python is None:
        _refuse_shipped(options, repository)
    base_commit = git.commit(repository, "--base", options.base)
    head_commit = git.commit(repository, "--head", options.head or "HEAD")
    changed = git.changed(
        repository, apart, base_commit.id, head_commit.id if options.head else None
    )
    with contextlib.ExitStack() as stack:

        def place(commit: git.Commit, side: str) -> Path:
            return stack.enter_context(checked_out(repository, commit.id, side, options.shared))

        base_place = place(base_commit, "base")
        head_place = place(head_commit, "head") if options.head else repository
        dirty = () if options.head else git.changed(repository, apart, head_commit.id, None)
        yield Sides(
            Side(
                Tree("base", repository, base_place, within, options.shared),
                base_commit.id,
                _described(options.base, base_commit),
                python,
            ),
            Side(
                Tree("head", repository, head_place, within, options.shared),
                head_commit.id,
                _described(options.head, head_commit)
                if options.head
                else _working_tree(head_commit, dirty),
                Path(sys.executable),
            ),
            None if options.head else git.fingerprint(repository, apart),
            tuple(_notes(changed, environments=options.base_python is not None)),
            same_files=not changed,
        )


def _refuse_unshareable(shared: Sequence[Path], repository: Path) -> None:
    for path in shared:
        if not path.is_relative_to(repository):
            raise UsageError(
                f"--share {path}: lies outside {repository}, where both sides find it anyway; "
                f"leave it out"
            )


def _refuse_shipped(options: CheckOptions, repository: Path) -> None:
    """Refuses shipped workloads, which are the same on both sides of a user's repository."""
    if repository == STEPBENCH:
        return
    for name in options.run.matrix.axes["workload"]:
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
            "Base and head have the same files, so that any difference is noise: this tests the "
            "check itself."
        )
    needs = git.dependencies(changed)
    if needs and not environments:
        yield (
            f"{', '.join(needs)} {'differ' if len(needs) > 1 else 'differs'}, and both sides ran "
            f"in head's environment: where a package differs that changes the speed, give base its "
            f"own with --base-python."
        )
