"""Whole regression checks: with injected pairs, and interrupted ones with real pairs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stepbench_reports import regression
from support import repositories
from support.repositories import git, worktrees
from support.warm import WarmCommands

TIMEOUT_S = 300
"""The longest wait for things that usually take seconds, even on a busy machine."""
NO_TIME = ("--budget", "0.001s")
"""Enough to survey both sides, but not for a pair."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return repositories.make(tmp_path / "repository")


def directory(repository: Path) -> Path:
    (path,) = (repository / "results").glob("regression-*")
    return path


def check(
    commands: WarmCommands, repository: Path, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    return commands.run(
        [*repositories.CHECK, *arguments], cwd=repository, env=repositories.environment()
    )


# --- injected pairs ------------------------------------------------------------------------------

INJECTED = """
import random
import sys
from contextlib import contextmanager

from stepbench.cli import main
from stepbench.config.turns import TakeTurn, TurnKind, TurnResult
from stepbench.regression import pairs, servers
from stepbench.scheduling.generation import Played
from stepbench.scheduling.rounds import TakenTurn
from stepbench_reports.schema.check import SIDES, SideEnd
from stepbench_reports.schema.machine_use import MachineUse

STEP_S = {"dataload": 0.001, "forward": 0.004, "backward": 0.004, "optimizer": 0.001}
QUIET = MachineUse(
    others=0.0, steal=0.0, pressure=0.0, cpu_per_wall=1.0, involuntary_switches=0, clock_hz=None,
    throttled=None,
)
draw = random.Random(1)


def pair(comparison, server, case, on_progress, *, together):
    '''Head is slower in forward by about 0.003 s a step.'''
    phases_s = {"base": dict(STEP_S), "head": dict(STEP_S)}
    phases_s["head"]["forward"] += draw.gauss(0.003, 0.00005)
    turns = []
    for side in ("base", "head", "head", "base"):
        laps = {phase: [seconds] for phase, seconds in phases_s[side].items()}
        laps["step"] = [sum(phases_s[side].values())]
        result = TurnResult(laps["step"][0], laps, machine_use=QUIET, run_delay_s=0.0)
        turns.append(TakenTurn(side, 0, TakeTurn(TurnKind.LAPPED, 1), result))
    ended = {side: SideEnd(host_peak_bytes=2**28, modules=2) for side in SIDES}
    return Played(0, {}, tuple(turns), ended, {}, (), {}, 0.1)


class Pool:
    import_s = 0.0

    def wait_until_ready(self):
        pass

    def next(self, fresh):
        return servers.PairServer(1, {})


@contextmanager
def opened(comparison, cases, first_number):
    yield Pool()


servers.opened = opened
pairs.pair = pair
sys.exit(main(sys.argv[1:]))
"""
RECORD_IMPORT = (
    "import os\nwith open(os.environ['IMPORTS'], 'a') as file:\n    file.write('{module}\\n')\n"
)


def test_slowdowns_in_src_and_in_an_editable_package_are_found(
    commands: WarmCommands, tmp_path: Path
) -> None:
    repository = repositories.make(tmp_path / "repository", "src/pace.py")
    (repository / "python").mkdir()
    editable = repositories.WORKLOAD.replace("from pace", "from gait")
    (repository / "editable.py").write_text(editable)
    modules = ("src/pace.py", "python/gait.py")
    for module in modules:
        record = RECORD_IMPORT.format(module=f"base {module}")
        (repository / module).write_text(record + repositories.FAST)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "Add a package that is installed in editable mode")
    for module in modules:
        record = RECORD_IMPORT.format(module=f"head {module}")
        (repository / module).write_text(record + repositories.SLOW)
    imports = tmp_path / "imports"
    done = commands.run(
        [sys.executable, "-c", INJECTED, "regression", *repositories.CASE_OPTIONS, "--base", "main",
         "--workload", "train.py:make", "editable.py:make", "--budget", "1h"],
        cwd=repository,
        env=repositories.environment(PYTHONPATH=str(repository / "python"), IMPORTS=str(imports)),
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    # Base imported the files that were checked out, and head those of the working tree.
    assert set(imports.read_text().splitlines()) == {
        f"{side} {module}" for side in ("base", "head") for module in modules
    }
    verdict = json.loads((directory(repository) / "verdict.json").read_text())
    assert verdict["unmeasured"] == []
    slower = {
        (row["case"], row["row"]) for row in verdict["rows"] if row["verdict"] == "regression"
    }
    for name in ("train", "editable"):
        case = f"{name}-cpu-b4-w0-off-fp32"
        assert {(case, "step"), (case, "forward")} <= slower
        assert f"operators of {case}" in " ".join(done.stdout.split())
    assert "confirm" in {pair.stage for pair in regression.load(directory(repository)).pairs}
    assert worktrees(repository) == []


# --- real pairs ----------------------------------------------------------------------------------


@pytest.fixture
def running_check(repository: Path) -> Iterator["subprocess.Popen[str]"]:
    """A real check that has taken its first pair."""
    process = subprocess.Popen(
        [*repositories.CHECK, *repositories.CASE_OPTIONS, "--base", "main", "--pair-time", "0.2"],
        cwd=repository,
        env=repositories.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509  # one thread
    )
    assert process.stdout is not None
    output = ""
    for line in process.stdout:
        output += line
        if line.startswith("round 1 "):
            break
    else:
        pytest.fail(output)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def all_processes_ended(repository: Path) -> bool:
    """Waits until no process of a check is left; `False` if one is."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if not processes_in(repository):
            return True
        time.sleep(0.1)
    return False


def processes_in(repository: Path) -> list[int]:
    directories = (str(repository), *worktrees(repository))
    pids = []
    for process in psutil.process_iter():
        try:
            text = " ".join([*process.cmdline(), process.cwd()])
        except psutil.Error:
            continue
        if any(directory in text for directory in directories):
            pids.append(process.pid)
    return pids


def test_a_killed_check_can_be_resumed_and_its_worktree_is_removed(
    commands: WarmCommands, repository: Path, running_check: "subprocess.Popen[str]"
) -> None:
    assert worktrees(repository)
    running_check.kill()
    running_check.wait()
    assert all_processes_ended(repository)
    (worktree,) = worktrees(repository)
    path = directory(repository)
    before = len(regression.load(path).pairs)
    assert before >= 1

    done = check(commands, repository, "--resume", str(path), *NO_TIME)
    assert done.returncode == 0
    assert "Could not tell" in done.stdout
    assert len(regression.load(path).pairs) == before
    assert not Path(worktree).parent.exists()
    assert worktrees(repository) == []

    done = check(commands, repository, "--resume", str(path), "--min-effect", "5%")
    assert done.returncode == 4
    assert "leave --min-effect out" in done.stderr

    (repository / "pace.py").write_text(repositories.SLOW)
    done = check(commands, repository, "--resume", str(path), *NO_TIME)
    assert done.returncode == 4
    assert "head's files have changed since" in done.stderr
    assert all_processes_ended(repository)
    assert worktrees(repository) == []


def test_ctrl_c_reports_the_results_so_far_and_how_to_resume(
    repository: Path, running_check: "subprocess.Popen[str]"
) -> None:
    running_check.send_signal(signal.SIGINT)
    out, _ = running_check.communicate(timeout=TIMEOUT_S)
    assert running_check.returncode == 2
    assert re.search(r"interrupted: resume with --resume \S+regression-", out)
    assert "Interrupted: " in out
    assert out.splitlines()[-1].startswith("exit code 2: ")
    assert (directory(repository) / "report.md").exists()
    assert all_processes_ended(repository)
    assert worktrees(repository) == []
