"""Whole checks, as a user runs them."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import repositories
from repositories import check, git, worktrees

from bench.regression.worktree import PREFIX
from reports import regression

NO_TIME = ("--budget", "1s")
"""Both sides are looked at, and no pair is taken."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return repositories.make(tmp_path / "repository")


def directory(repository: Path) -> Path:
    (found,) = (repository / "results").glob("regression-*")
    return found


# --- what cannot be compared ---------------------------------------------------------------------


def test_an_unknown_revision_is_wrong_usage(repository: Path) -> None:
    done = check(repository, "--base", "nowhere")
    assert done.returncode == 4
    assert "--base nowhere" in done.stderr
    assert "knows no such revision" in done.stderr
    assert not list((repository / "results").glob("regression-*"))


def test_outside_a_repository_the_remedy_is_told(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(repositories.WORKLOAD)
    done = check(tmp_path, "--base", "main")
    assert done.returncode == 4
    assert "git finds no repository" in done.stderr


def test_stepbench_s_own_workload_is_the_same_on_both_sides_of_a_user_s_repository(
    repository: Path,
) -> None:
    done = check(repository, "--base", "main", "--workload", "convnet")
    assert done.returncode == 4
    assert "--workload convnet: is stepbench's own" in done.stderr


def test_a_typing_error_is_wrong_usage(repository: Path) -> None:
    done = check(repository, "--base", "main", "--workload", "train.py:mak")
    assert done.returncode == 4
    assert "did you mean make" in done.stderr
    assert worktrees(repository) == []


@pytest.mark.parametrize("device", [("--device", "all"), ()], ids=["all", "by default"])
def test_a_head_that_fails_on_every_device_is_a_regression(
    repository: Path, device: tuple[str, ...]
) -> None:
    (repository / "pace.py").write_text("raise RuntimeError('new and broken')\n")
    done = subprocess.run(
        [*repositories.command()[:3], "--base", "main", "--workload", "train.py:make",
         "--batch-size", "4", "--num-workers", "0", "--compile", "off", "--no-parity", *device],
        cwd=repository, env=repositories.environment(), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "new and broken" in done.stdout


def test_a_head_whose_import_ends_the_process_is_a_regression(repository: Path) -> None:
    (repository / "pace.py").write_text("import os\nos._exit(3)\n")
    done = check(repository, "--base", "main")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "exit code 3" in done.stdout


def test_a_workload_that_base_has_not_is_not_compared(repository: Path) -> None:
    git(repository, "mv", "train.py", "older.py")
    git(repository, "commit", "-q", "-m", "Rename")
    (repository / "train.py").write_text(repositories.WORKLOAD)
    done = check(repository, "--base", "main")
    assert done.returncode == 2
    assert "not compared: base:" in done.stdout
    assert "there is no such file" in done.stdout
    assert "Could not compare: there is no case that base can run" in done.stdout


def test_a_base_that_fails_to_import_is_told(repository: Path) -> None:
    (repository / "pace.py").write_text("raise RuntimeError('old and broken')\n")
    git(repository, "commit", "-q", "-a", "-m", "Break")
    (repository / "pace.py").write_text(repositories.FAST)
    done = check(repository, "--base", "main")
    assert done.returncode == 2
    assert "old and broken" in done.stdout


def test_a_head_that_fails_where_base_works_is_a_regression(
    repository: Path, tmp_path: Path
) -> None:
    (repository / "pace.py").write_text("raise RuntimeError('new and broken')\n")
    summary = tmp_path / "summary.md"
    done = check(repository, "--base", "main", GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 1
    assert "with uncommitted changes in a file" in done.stdout
    assert "new and broken" in done.stdout
    assert "Regression: train-cpu-b4-w0-off-fp32: works in base" in done.stdout
    assert "### ❌ stepbench: Regression" in summary.read_text()
    assert '<failure message="works in base' in (directory(repository) / "junit.xml").read_text()


def test_a_workload_without_any_of_the_repository_s_files_is_not_compared(
    repository: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    repositories.make(elsewhere)
    alone = repositories.WORKLOAD.replace("from pace import pause", repositories.FAST)
    (elsewhere / "train.py").write_text(alone)
    (repository / "pace.py").write_text(repositories.SLOW)
    done = check(
        repository, "--base", "main", "--workload", f"{elsewhere / 'train.py'}:make",
        PYTHONPATH=str(elsewhere),
    )  # fmt: skip
    assert done.returncode == 2
    assert "Could not compare" in done.stdout


def test_identical_sides_are_told_and_measured_all_the_same(repository: Path) -> None:
    done = check(repository, "--base", "main", *NO_TIME)
    assert "Base and head have the same files" in done.stdout
    assert done.returncode == 2
    assert "The time was up (1 s)" in done.stdout
    assert worktrees(repository) == []


def test_two_revisions_can_be_compared_whatever_the_working_tree_holds(repository: Path) -> None:
    git(repository, "commit", "-q", "--allow-empty", "-m", "Later")
    (repository / "train.py").write_text("no python")
    done = check(repository, "--base", "main~1", "--head", "main", *NO_TIME)
    assert "(Begin)" in done.stdout
    assert "(Later)" in done.stdout
    assert done.returncode == 2
    assert "not decided after 0 pairs" in done.stdout


def test_changed_dependencies_are_told(repository: Path) -> None:
    (repository / "requirements.txt").write_text("torch==2.9\n")
    done = check(repository, "--base", "main", *NO_TIME)
    assert "note: requirements.txt differs, and both sides ran in head's environment" in done.stdout


# --- what can ------------------------------------------------------------------------------------


@pytest.mark.alone
def test_a_slowdown_in_src_and_one_in_an_editable_package_are_seen(tmp_path: Path) -> None:
    repository = repositories.make(tmp_path / "repository", "src/pace.py")
    (repository / "python").mkdir()
    (repository / "python" / "gait.py").write_text(repositories.FAST)
    editable = repositories.WORKLOAD.replace("from pace", "from gait")
    (repository / "editable.py").write_text(editable)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "Add a package that is installed in editable mode")
    for place in ("src/pace.py", "python/gait.py"):
        (repository / place).write_text(repositories.SLOW)
    done = check(
        repository, "--base", "main", "--workload", "train.py:make", "editable.py:make",
        "--pair-time", "0.2", PYTHONPATH=str(repository / "python"), timeout=600,
    )  # fmt: skip
    found = json.loads((directory(repository) / "verdict.json").read_text())
    if any("too busy" in each["reason"] for each in found["unmeasured"]):
        pytest.skip("others kept this machine so busy that no pair counted")
    assert done.returncode == 1, done.stdout + done.stderr
    slower = {(row["case"], row["row"]) for row in found["rows"] if row["verdict"] == "regression"}
    for name in ("train", "editable"):
        case = f"{name}-cpu-b4-w0-off-fp32"
        assert {(case, "step"), (case, "forward")} <= slower
    assert "most of it in forward" in done.stdout
    assert "what grew in" in done.stdout


@pytest.fixture
def begun(repository: Path) -> Iterator["subprocess.Popen[str]"]:
    """A check whose first pair has been taken."""
    process = subprocess.Popen(
        repositories.command("--base", "main", "--pair-time", "0.2"),
        cwd=repository,
        env=repositories.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509  # one thread
    )
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if line.startswith("round 1 "):
            break
    else:
        pytest.fail(seen)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def settled(repository: Path) -> bool:
    """Whether nothing of a check is left, within some seconds."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if not worktrees(repository) and not working_in(repository):
            return True
        time.sleep(0.1)
    return False


def working_in(repository: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            places = (str(repository), *worktrees(repository))
            told = " ".join([*process.cmdline(), process.cwd()])
            if any(place in told for place in places) or PREFIX in told:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_a_kill_leaves_nothing_but_a_check_that_can_be_gone_on_with(
    repository: Path, begun: "subprocess.Popen[str]"
) -> None:
    assert worktrees(repository)
    begun.kill()
    begun.wait()
    assert settled(repository)
    place = directory(repository)
    before = len(regression.load(place).pairs)
    assert before >= 1

    done = check_again(repository, "--resume", str(place), *NO_TIME)
    assert done.returncode == 2
    assert "not decided after" in done.stdout
    assert len(regression.load(place).pairs) == before

    done = check_again(repository, "--resume", str(place), "--min-effect", "5%")
    assert done.returncode == 4
    assert "leave --min-effect out" in done.stderr

    (repository / "pace.py").write_text(repositories.SLOW)
    done = check_again(repository, "--resume", str(place), *NO_TIME)
    assert done.returncode == 4
    assert "head's files have changed since" in done.stderr
    assert settled(repository)


def check_again(repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = repositories.command()
    return subprocess.run(
        [*command[:3], *words],
        cwd=repository,
        env=repositories.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_ctrl_c_says_what_is_known_and_how_to_go_on(
    repository: Path, begun: "subprocess.Popen[str]"
) -> None:
    begun.send_signal(signal.SIGINT)
    out, _ = begun.communicate(timeout=60)
    assert begun.returncode == 2
    assert re.search(r"interrupted: go on with --resume \S+regression-", out)
    assert "Could not tell" in out
    assert (directory(repository) / "report.md").exists()
    assert settled(repository)


# --- a stored run --------------------------------------------------------------------------------


def test_a_stored_run_shows_a_trend_and_no_verdict(repository: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = subprocess.run(
        [
            *(*repositories.command()[:2], "bench"), "--workload", "train.py:make",
            *repositories.CASE, "--no-parity", "--max-time", "0.5", "--output", str(run),
        ],
        cwd=repository, env=repositories.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    done = trend(repository, run)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "A trend, and no verdict" in done.stdout
    assert "1 case in both" in done.stdout

    done = trend(repository, run, "--head", "main")
    assert done.returncode == 4
    assert "--head: with --base" in done.stderr

    facts = json.loads((run / "run.json").read_text())
    facts["machine"]["cpu"] = "Another"
    (run / "run.json").write_text(json.dumps(facts))
    done = trend(repository, run)
    assert done.returncode == 4
    assert "--other-machine" in done.stderr


def trend(repository: Path, run: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*repositories.command()[:3], "--base", str(run), *words],
        cwd=repository, env=repositories.environment(), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def test_the_help_teaches(tmp_path: Path) -> None:
    done = check(tmp_path, "--help")
    assert done.returncode == 0
    for word in ("--base REV", "--budget TIME", "examples:", "exit codes:", "--batch-size"):
        assert word in done.stdout
