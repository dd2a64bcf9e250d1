import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stepbench.errors import UsageError
from stepbench.regression import git
from stepbench.regression.worktree import (
    FILES,
    LOCK,
    PREFIX,
    UNLOCKED_S,
    checked_out,
    remove,
    sweep,
    temporary_directory,
)
from support import repositories


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return repositories.make(tmp_path / "repository")


@pytest.fixture
def commit(repository: Path) -> str:
    return git.resolve(repository, "--base", "main").id


def test_a_commit_s_files_are_there_while_it_lasts(repository: Path, commit: str) -> None:
    (repository / "pace.py").write_text(repositories.SLOW)
    with checked_out(repository, commit, "base") as files:
        assert (files / "pace.py").read_text() == repositories.FAST
        assert repositories.worktrees(repository) == [str(files)]
    assert not files.parent.exists()
    assert repositories.worktrees(repository) == []
    assert repositories.git(repository, "status", "--porcelain") == "M pace.py"


def test_it_is_removed_after_an_error_too(repository: Path, commit: str) -> None:
    with pytest.raises(ZeroDivisionError), checked_out(repository, commit, "base") as files:
        raise ZeroDivisionError
    assert not files.parent.exists()


def test_hooks_are_not_run(repository: Path, commit: str, tmp_path: Path) -> None:
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    with checked_out(repository, commit, "base"):
        pass
    assert not (tmp_path / "hooked").exists()


def test_what_git_ignores_is_shared_where_it_is_asked_for(repository: Path, commit: str) -> None:
    data = repository / "data" / "train"
    data.mkdir(parents=True)
    (data / "one").write_text("1")
    with checked_out(repository, commit, "base", [data]) as files:
        assert (files / "data" / "train" / "one").read_text() == "1"
    assert (data / "one").read_text() == "1"  # the link went, and not what it points at


def test_what_git_keeps_is_not_shared(repository: Path, commit: str) -> None:
    with (
        pytest.raises(UsageError, match="each side has its own version"),
        checked_out(repository, commit, "base", [repository / "pace.py"]),
    ):
        pass
    assert repositories.worktrees(repository) == []


HOLD = """
import signal, sys, time
from pathlib import Path
from stepbench.regression.worktree import checked_out, temporary_directory
for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
    signal.signal(number, signal.default_int_handler)
with (
    temporary_directory("environment") as environment,
    checked_out(Path(sys.argv[1]), sys.argv[2], "base") as files,
):
    print(environment, files.parent, flush=True)
    time.sleep(600)
"""


@contextmanager
def held(repository: Path, commit: str) -> Iterator["tuple[subprocess.Popen[str], list[Path]]"]:
    """A process with two temporary directories."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(repository), commit],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        env={**repositories.environment(), "TMPDIR": tempfile.gettempdir()},
    )
    try:
        assert process.stdout is not None
        yield process, [Path(word) for word in process.stdout.readline().split()]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def own_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keeps sweeps away from the checks of others on this machine."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def test_what_a_killed_check_left_the_next_one_removes(repository: Path, commit: str) -> None:
    with held(repository, commit) as (process, directories):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert len(directories) == 2
    assert all(directory.exists() for directory in directories)
    with temporary_directory("environment"):
        assert not any(directory.exists() for directory in directories)
    assert repositories.worktrees(repository) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_check_that_is_asked_to_end_removes_its_own(
    repository: Path, commit: str, number: signal.Signals
) -> None:
    with held(repository, commit) as (process, directories):
        process.send_signal(number)
        process.wait()
    assert not any(directory.exists() for directory in directories)
    assert repositories.worktrees(repository) == []


def test_a_check_under_way_is_let_be(repository: Path, commit: str) -> None:
    with held(repository, commit) as (_, directories):
        sweep(repository)
        assert all(directory.exists() for directory in directories)


def test_a_directory_that_is_about_to_be_locked_is_let_be(own_temporary_files: Path) -> None:
    new, old = (own_temporary_files / f"{PREFIX}base-{name}" for name in ("new", "old"))
    for directory in (new, old):
        directory.mkdir()
    os.utime(old, (0, 0))
    sweep(None)
    assert new.exists()
    assert not old.exists()


def test_worktrees_elsewhere_are_found_by_what_git_knows(
    repository: Path, commit: str, tmp_path: Path
) -> None:
    left, gone = (tmp_path / f"{PREFIX}base-{name}" for name in ("left", "gone"))
    others = tmp_path / "somebody-s"
    for directory in (left, gone, others):
        repositories.git(repository, "worktree", "add", "--detach", str(directory / FILES), commit)
    (left / LOCK).touch()
    shutil.rmtree(gone)  # as after a restart
    sweep(repository)
    assert not left.exists()
    assert repositories.worktrees(repository) == [str(others / FILES)]


def test_a_checkout_that_was_cut_off_is_removed_and_others_are_let_be(
    repository: Path, commit: str, tmp_path: Path
) -> None:
    holder, others = tmp_path / f"{PREFIX}1-base-x", tmp_path / "unmounted"
    for place in (holder / FILES, others):
        repositories.git(repository, "worktree", "add", "--detach", str(place), commit)
    repositories.git(repository, "worktree", "lock", "--reason", "initializing",
                     str(holder / FILES))  # fmt: skip
    shutil.rmtree(others)
    remove(holder, repository)
    assert not holder.exists()
    assert repositories.worktrees(repository) == [str(others)]


@pytest.mark.skipif(os.getuid() != 0, reason="another user's directory is made by root alone")
def test_another_user_s_directories_are_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    (directory / LOCK).symlink_to(precious)
    old_s = time.time() - 10 * UNLOCKED_S
    os.utime(directory, (old_s, old_s))
    os.chown(directory, 12345, 12345)
    try:
        sweep(None)
        assert directory.exists()
        assert precious.read_text() == "mine"
    finally:
        shutil.rmtree(directory)
