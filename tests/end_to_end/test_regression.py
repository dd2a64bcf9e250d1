"""Whole regression checks without pairs, as a user runs them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support import repositories
from support.repositories import git, worktrees
from support.warm import WarmCommands

Check = Callable[..., subprocess.CompletedProcess[str]]

TO_MAIN = (*repositories.CASE_OPTIONS, "--base", "main")
NO_TIME = ("--budget", "0.001s")
"""Enough to survey both sides, but not for a pair."""


@pytest.fixture
def check(commands: WarmCommands) -> Check:
    """Runs `stepbench regression` with some arguments in a repository."""

    def run(directory: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return commands.run(
            [*repositories.CHECK, *arguments], cwd=directory, env=repositories.environment(**env)
        )

    return run


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return repositories.make(tmp_path / "repository")


def directory(repository: Path) -> Path:
    (path,) = (repository / "results").glob("regression-*")
    return path


# --- sides that cannot be compared ---------------------------------------------------------------


def test_an_unknown_revision_is_wrong_usage(repository: Path, check: Check) -> None:
    done = check(repository, *TO_MAIN, "--base", "nowhere")
    assert done.returncode == 4
    assert "--base nowhere" in done.stderr
    assert "there is no such revision" in done.stderr
    assert done.stderr.splitlines()[-1] == "exit code 4: wrong usage"
    assert not list((repository / "results").glob("regression-*"))


def test_outside_a_repository_is_wrong_usage(tmp_path: Path, check: Check) -> None:
    (tmp_path / "train.py").write_text(repositories.WORKLOAD)
    done = check(tmp_path, *TO_MAIN)
    assert done.returncode == 4
    assert "git finds no repository" in done.stderr


def test_a_shipped_workload_is_wrong_usage_in_a_user_s_repository(
    repository: Path, check: Check
) -> None:
    done = check(repository, *TO_MAIN, "--workload", "convnet")
    assert done.returncode == 4
    assert "--workload convnet: belongs to stepbench" in done.stderr


def test_a_typo_in_the_workload_is_wrong_usage(repository: Path, check: Check) -> None:
    done = check(repository, *TO_MAIN, "--workload", "train.py:mak")
    assert done.returncode == 4
    assert "did you mean make" in done.stderr
    assert worktrees(repository) == []


@pytest.mark.parametrize("device", [("--device", "all"), ()], ids=["all", "by default"])
def test_a_head_that_fails_on_every_device_is_a_regression(
    repository: Path, device: tuple[str, ...], check: Check
) -> None:
    (repository / "pace.py").write_text("raise RuntimeError('new and broken')\n")
    done = check(
        repository, "--base", "main", "--workload", "train.py:make", "--batch-size", "4",
        "--num-workers", "0", "--compile", "off", "--no-parity", *device,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "new and broken" in done.stdout


def test_a_head_whose_import_ends_the_process_is_a_regression(
    repository: Path, check: Check
) -> None:
    (repository / "pace.py").write_text("import os\nos._exit(3)\n")
    done = check(repository, *TO_MAIN)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "exit code 3" in done.stdout


def test_a_workload_that_base_lacks_is_not_compared(repository: Path, check: Check) -> None:
    git(repository, "mv", "train.py", "older.py")
    git(repository, "commit", "-q", "-m", "Rename")
    (repository / "train.py").write_text(repositories.WORKLOAD)
    done = check(repository, *TO_MAIN)
    assert done.returncode == 2
    assert "not compared: base:" in done.stdout
    assert "there is no such file" in done.stdout
    assert "Could not compare: base cannot run any of the cases" in done.stdout


def test_a_base_that_fails_to_import_is_reported(repository: Path, check: Check) -> None:
    (repository / "pace.py").write_text("raise RuntimeError('old and broken')\n")
    git(repository, "commit", "-q", "-a", "-m", "Break")
    (repository / "pace.py").write_text(repositories.FAST)
    done = check(repository, *TO_MAIN)
    assert done.returncode == 2
    assert "old and broken" in done.stdout


def test_a_head_that_fails_is_a_regression_if_base_works(
    repository: Path, tmp_path: Path, check: Check
) -> None:
    (repository / "pace.py").write_text("raise RuntimeError('new and broken')\n")
    summary = tmp_path / "summary.md"
    done = check(repository, *TO_MAIN, GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 1
    assert "with uncommitted changes in a file" in done.stdout
    assert "new and broken" in done.stdout
    assert "Regression: train-cpu-b4-w0-off-fp32: works in base" in done.stdout
    assert "### ❌ stepbench: Regression" in summary.read_text()
    assert '<failure message="works in base' in (directory(repository) / "junit.xml").read_text()


def test_a_workload_without_any_of_the_repository_s_files_is_not_compared(
    repository: Path, tmp_path: Path, check: Check
) -> None:
    elsewhere = tmp_path / "elsewhere"
    repositories.make(elsewhere)
    alone = repositories.WORKLOAD.replace("from pace import pause", repositories.FAST)
    (elsewhere / "train.py").write_text(alone)
    (repository / "pace.py").write_text(repositories.SLOW)
    done = check(
        repository, *TO_MAIN, "--workload", f"{elsewhere / 'train.py'}:make",
        PYTHONPATH=str(elsewhere),
    )  # fmt: skip
    assert done.returncode == 2
    assert "Could not compare" in done.stdout


def test_identical_sides_are_noted_and_measured(repository: Path, check: Check) -> None:
    done = check(repository, *TO_MAIN, *NO_TIME)
    assert "Base and head have the same files" in done.stdout
    assert done.returncode == 2
    assert "The time limit was reached (0.001 s)" in done.stdout
    assert worktrees(repository) == []


def test_two_revisions_can_be_compared_whatever_the_working_tree_holds(
    repository: Path, check: Check
) -> None:
    git(repository, "commit", "-q", "--allow-empty", "-m", "Later")
    (repository / "train.py").write_text("no python")
    done = check(repository, *TO_MAIN, "--base", "main~1", "--head", "main", *NO_TIME)
    assert "(Begin)" in done.stdout
    assert "(Later)" in done.stdout
    assert done.returncode == 2
    assert "no pair was measured; give a larger --budget" in done.stdout


def test_changed_dependencies_are_noted(repository: Path, check: Check) -> None:
    (repository / "requirements.txt").write_text("torch==2.9\n")
    done = check(repository, *TO_MAIN, *NO_TIME)
    assert "note: requirements.txt differs, and both sides ran in head's environment" in done.stdout


def test_the_help_teaches(tmp_path: Path, check: Check) -> None:
    done = check(tmp_path, "--help")
    assert done.returncode == 0
    for word in ("--base REV", "--budget TIME", "examples:", "exit codes:", "--batch-size"):
        assert word in done.stdout
