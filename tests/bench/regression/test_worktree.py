import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import repositories

from bench.errors import UsageError
from bench.regression import git
from bench.regression.worktree import FILES, PREFIX, checked_out, remove, sweep


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return repositories.make(tmp_path / "repository")


@pytest.fixture
def commit(repository: Path) -> str:
    return git.commit(repository, "--base", "main").id


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
        pytest.raises(UsageError, match="each side has its own"),
        checked_out(repository, commit, "base", [repository / "pace.py"]),
    ):
        pass
    assert repositories.worktrees(repository) == []


HOLD = """
import sys, time
from pathlib import Path
from bench.regression.worktree import checked_out
with checked_out(Path(sys.argv[1]), sys.argv[2], "base") as files:
    print(files, flush=True)
    time.sleep(600)
"""


def held(repository: Path, commit: str) -> "tuple[subprocess.Popen[str], Path]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(repository), commit],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=repositories.environment(),
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def gone(path: Path, within_s: float = 20) -> bool:
    until = time.monotonic() + within_s
    while path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    return not path.exists()


def test_a_kill_of_the_whole_group_leaves_nothing(repository: Path, commit: str) -> None:
    process, files = held(repository, commit)
    assert files.name == FILES
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert gone(files.parent)
    until = time.monotonic() + 10
    while repositories.worktrees(repository) and time.monotonic() < until:
        time.sleep(0.05)
    assert repositories.worktrees(repository) == []


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


def test_what_a_killed_guardian_left_the_next_check_removes(
    repository: Path, commit: str, tmp_path: Path
) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], check=True,
                          capture_output=True, text=True).stdout.strip()  # fmt: skip
    left = tmp_path / f"{PREFIX}{dead}-base-x"
    mine = tmp_path / f"{PREFIX}{os.getpid()}-base-y"
    others = tmp_path / "somebody-s"
    for holder in (left, mine, others):
        repositories.git(repository, "worktree", "add", "--detach", str(holder / FILES), commit)
    sweep(repository)
    assert not left.exists()
    assert mine.exists()
    assert others.exists()
