"""Base and head: the files, commit and environment of each side, and the sides' differences."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stepbench.errors import UsageError
from stepbench.regression import git
from stepbench.regression.options import CheckOptions
from stepbench.regression.tree import STEPBENCH_REPOSITORY, Tree
from stepbench.regression.worktree import checked_out
from stepbench_reports.schema.cause import ChangedLines
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
    def two_environments(self) -> bool:
        """True if the sides run in different environments."""
        return self.base.python != self.head.python

    def changed_lines(self, check_directory: Path) -> tuple[ChangedLines, ...]:
        """The lines of Python files in which head differs from base.

        Args:
            check_directory: The check's directory, whose files do not count.
        """
        if self.base.commit is None or self.head.commit is None:
            return ()
        tree = self.head.tree
        head = None if tree.checkout == tree.root else self.head.commit
        return git.changed_lines(tree.root, check_directory, self.base.commit, head)

    def __getitem__(self, name: SideName) -> Side:
        """A side by its name."""
        return {"base": self.base, "head": self.head}[name]


def _two_environments(directory: Path, base_python: Path) -> Sides:
    """The sides of a check that compares two environments on the same files."""
    files = f"the files in {directory.name}"
    head = Side(Tree("head", directory, directory, Path()), None, files, Path(sys.executable))
    tree = Tree("base", directory, directory, Path())
    base = Side(tree, None, f"{files} in {base_python}", base_python)
    return Sides(base, head, None, (), same_files=True)


@contextlib.contextmanager
def opened(options: CheckOptions, check_directory: Path) -> Iterator[Sides]:
    """Opens both sides, with the files of revisions checked out while the context lasts.

    Args:
        options: The check's options.
        check_directory: The check's directory, which is no part of head.

    Raises:
        UsageError: A revision is unknown, or cannot be compared.
    """
    python = options.base_python or Path(sys.executable)
    directory = Path.cwd().resolve()
    if options.base is None:
        yield _two_environments(directory, python)
        return
    repository = git.repository_of(directory)
    subdirectory = directory.relative_to(repository)
    _refuse_unshareable(options.shared, repository)
    if options.base_python is None:
        refuse_shipped(options, repository)
    base_commit = git.resolve(repository, "--base", options.base)
    head_commit = git.resolve(repository, "--head", options.head or "HEAD")
    changed_files = git.changed_files(
        repository, check_directory, base_commit.id, head_commit.id if options.head else None
    )
    with contextlib.ExitStack() as stack:

        def check_out(commit: git.Commit, side: str) -> Path:
            return stack.enter_context(checked_out(repository, commit.id, side, options.shared))

        base_checkout = check_out(base_commit, "base")
        head_checkout = check_out(head_commit, "head") if options.head else repository
        uncommitted_files = (
            ()
            if options.head
            else git.changed_files(repository, check_directory, head_commit.id, None)
        )
        yield Sides(
            Side(
                Tree("base", repository, base_checkout, subdirectory, options.shared),
                base_commit.id,
                _describe_revision(options.base, base_commit),
                python,
            ),
            Side(
                Tree("head", repository, head_checkout, subdirectory, options.shared),
                head_commit.id,
                _describe_revision(options.head, head_commit)
                if options.head
                else _describe_working_tree(head_commit, uncommitted_files),
                Path(sys.executable),
            ),
            None if options.head else git.fingerprint(repository, check_directory),
            tuple(_notes(changed_files, environments=options.base_python is not None)),
            same_files=not changed_files,
        )


def _refuse_unshareable(shared: Sequence[Path], repository: Path) -> None:
    for path in shared:
        if not path.is_relative_to(repository):
            raise UsageError(
                f"--share {path}: is outside {repository}, so both sides can read it already; "
                f"leave it out"
            )


def refuse_shipped(options: CheckOptions, repository: Path) -> None:
    """Refuses shipped workloads, which are the same on both sides of a user's repository.

    Raises:
        UsageError: A workload is shipped with stepbench.
    """
    if repository == STEPBENCH_REPOSITORY or options.script:
        return
    for name in options.run.matrix.axes["workload"]:
        if ":" not in name:
            raise UsageError(
                f"--workload {name}: belongs to stepbench, so it is the same in both revisions of "
                f"{repository.name}; name a workload of this repository, such as "
                f"--workload path/to/file.py:make"
            )


def _describe_revision(revision: str | None, commit: git.Commit) -> str:
    short_id = commit.id[:9]
    name = (
        short_id
        if revision is None or commit.id.startswith(revision)
        else f"{revision}, {short_id}"
    )
    return f"{name} ({commit.subject})"


def _describe_working_tree(commit: git.Commit, uncommitted_files: Sequence[str]) -> str:
    if not uncommitted_files:
        return f"the working tree, {commit.id[:9]} ({commit.subject})"
    files = "a file" if len(uncommitted_files) == 1 else f"{len(uncommitted_files)} files"
    return (
        f"the working tree: {commit.id[:9]} ({commit.subject}) with uncommitted changes in {files}"
    )


def _notes(changed_files: Sequence[str], *, environments: bool) -> Iterator[str]:
    if not changed_files and not environments:
        yield (
            "Base and head have the same files, so any difference is noise. This tests the check "
            "itself."
        )
    dependency_files = git.dependency_files(changed_files)
    if dependency_files and not environments:
        differ = "differ" if len(dependency_files) > 1 else "differs"
        yield (
            f"{', '.join(dependency_files)} {differ}, and both sides ran in head's environment. If "
            f"base needs other packages, give base's environment with --base-python."
        )
