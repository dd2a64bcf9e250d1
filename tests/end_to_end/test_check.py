"""Whole checks with pairs: injected ones that are decided about, and real ones that are cut off."""

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

PATIENCE_S = 300
"""How long a test waits for what takes seconds; it fails by then, however busy the machine is."""
NO_TIME = ("--budget", "0.001s")
"""Both sides are looked at, and no pair is taken."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return repositories.make(tmp_path / "repository")


def directory(repository: Path) -> Path:
    (found,) = (repository / "results").glob("regression-*")
    return found


def check(
    commands: WarmCommands, repository: Path, *words: str
) -> "subprocess.CompletedProcess[str]":
    return commands.run(
        [*repositories.CHECK, *words], cwd=repository, env=repositories.environment()
    )


# --- injected pairs ------------------------------------------------------------------------------

INJECTED = """
import random
import sys
from contextlib import contextmanager

from stepbench.cli import main
from stepbench.interference.watch import Disturbance
from stepbench.regression import servers
from stepbench.regression.pair import ORDERS, TakenPair, Turn
from stepbench_reports.schema.check import SIDES, SideEnd

STEP_S = {"dataload": 0.001, "forward": 0.004, "backward": 0.004, "optimizer": 0.001}
QUIET = Disturbance(
    others=0.0, steal=0.0, pressure=0.0, cpu_per_wall=1.0, involuntary_switches=0, clock_hz=None,
    throttled=None,
)
draw = random.Random(1)


class Injected:
    def pair(self, case, on_progress):
        '''Head is slower in forward by about 0.003 s a step.'''
        phases_s = {"base": dict(STEP_S), "head": dict(STEP_S)}
        phases_s["head"]["forward"] += draw.gauss(0.003, 0.00005)
        turns = tuple(
            Turn(side, 1, sum(phases_s[side].values()), phases_s[side]) for side in ORDERS[0]
        )
        ended = {side: SideEnd(host_peak_bytes=2**28, modules=2) for side in SIDES}
        return TakenPair(turns, ended, QUIET, 0.1)


@contextmanager
def opened(comparison, cases):
    yield Injected()


servers.opened = opened
sys.exit(main(sys.argv[1:]))
"""
SAYS_WHOSE = (
    "import os\nwith open(os.environ['SEEN'], 'a') as seen:\n    seen.write('{whose}\\n')\n"
)


def test_a_slowdown_in_src_and_one_in_an_editable_package_are_decided_about(
    commands: WarmCommands, tmp_path: Path
) -> None:
    repository = repositories.make(tmp_path / "repository", "src/pace.py")
    (repository / "python").mkdir()
    editable = repositories.WORKLOAD.replace("from pace", "from gait")
    (repository / "editable.py").write_text(editable)
    modules = ("src/pace.py", "python/gait.py")
    for place in modules:
        says = SAYS_WHOSE.format(whose=f"base {place}")
        (repository / place).write_text(says + repositories.FAST)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "Add a package that is installed in editable mode")
    for place in modules:
        says = SAYS_WHOSE.format(whose=f"head {place}")
        (repository / place).write_text(says + repositories.SLOW)
    seen = tmp_path / "seen"
    done = commands.run(
        [sys.executable, "-c", INJECTED, "regression", *repositories.OF_A_CASE, "--base", "main",
         "--workload", "train.py:make", "editable.py:make", "--budget", "1h"],
        cwd=repository,
        env=repositories.environment(PYTHONPATH=str(repository / "python"), SEEN=str(seen)),
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    # Both sides ran their own files, those of the working tree and those that were checked out.
    assert set(seen.read_text().splitlines()) == {
        f"{side} {place}" for side in ("base", "head") for place in modules
    }
    found = json.loads((directory(repository) / "verdict.json").read_text())
    assert found["unmeasured"] == []
    slower = {(row["case"], row["row"]) for row in found["rows"] if row["verdict"] == "regression"}
    for name in ("train", "editable"):
        case = f"{name}-cpu-b4-w0-off-fp32"
        assert {(case, "step"), (case, "forward")} <= slower
        assert f"what grew in {case}" in " ".join(done.stdout.split())
    assert "confirm" in {pair.stage for pair in regression.load(directory(repository)).pairs}
    assert worktrees(repository) == []


# --- real pairs ----------------------------------------------------------------------------------


@pytest.fixture
def begun(repository: Path) -> Iterator["subprocess.Popen[str]"]:
    """A check whose first pair has been taken, in processes of its own."""
    process = subprocess.Popen(
        [*repositories.CHECK, *repositories.OF_A_CASE, "--base", "main", "--pair-time", "0.2"],
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


def ended(repository: Path) -> bool:
    """Whether no process of a check is left."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if not working_in(repository):
            return True
        time.sleep(0.1)
    return False


def working_in(repository: Path) -> list[int]:
    places = (str(repository), *worktrees(repository))
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join([*process.cmdline(), process.cwd()])
        except psutil.Error:
            continue
        if any(place in words for place in places):
            found.append(process.pid)
    return found


def test_a_killed_check_can_be_resumed_and_the_next_check_removes_what_it_left(
    commands: WarmCommands, repository: Path, begun: "subprocess.Popen[str]"
) -> None:
    assert worktrees(repository)
    begun.kill()
    begun.wait()
    assert ended(repository)
    (left,) = worktrees(repository)
    place = directory(repository)
    before = len(regression.load(place).pairs)
    assert before >= 1

    done = check(commands, repository, "--resume", str(place), *NO_TIME)
    assert done.returncode == 2
    assert "not decided after" in done.stdout
    assert len(regression.load(place).pairs) == before
    assert not Path(left).parent.exists()
    assert worktrees(repository) == []

    done = check(commands, repository, "--resume", str(place), "--min-effect", "5%")
    assert done.returncode == 4
    assert "leave --min-effect out" in done.stderr

    (repository / "pace.py").write_text(repositories.SLOW)
    done = check(commands, repository, "--resume", str(place), *NO_TIME)
    assert done.returncode == 4
    assert "head's files have changed since" in done.stderr
    assert ended(repository)
    assert worktrees(repository) == []


def test_ctrl_c_says_what_is_known_and_how_to_go_on(
    repository: Path, begun: "subprocess.Popen[str]"
) -> None:
    begun.send_signal(signal.SIGINT)
    out, _ = begun.communicate(timeout=PATIENCE_S)
    assert begun.returncode == 2
    assert re.search(r"interrupted: resume with --resume \S+regression-", out)
    assert "Could not tell" in out
    assert (directory(repository) / "report.md").exists()
    assert ended(repository)
    assert worktrees(repository) == []
