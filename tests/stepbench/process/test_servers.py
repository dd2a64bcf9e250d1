import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import connection
from pathlib import Path
from typing import Any

import pytest

from stepbench.process import supervision
from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job
from stepbench.process.server import Server, ServerGoneError
from stepbench.process.spawn_server import SpawnServer
from stepbench.process.supervision import ChildEndedError
from stepbench_reports.schema.status import Status
from support.jobs import JOBS, run, wait_until_gone

needs_forking = pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux")


@pytest.fixture(params=["fork", "spawn"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "jobs.py").write_text(JOBS)
    started: Server
    if request.param == "fork":
        if sys.platform != "linux":
            pytest.skip("the fork server is for Linux")
        started = ForkServer(
            ("stepbench.process.child", "stepbench_reports.analysis.stats"), sys.path, tmp_path
        )
    else:
        started = SpawnServer(sys.path, tmp_path)
    yield started
    started.close()


def test_a_result_comes_back_with_progress_and_times(server: Server) -> None:
    messages: list[str] = []
    outcome = server.run(Job("jobs:double", (21,)), deadline_s=60, on_progress=messages.append)
    assert (outcome.status, outcome.result, messages) == (Status.OK, 42, ["doubling"])
    assert outcome.start_s is not None
    assert 0 < outcome.start_s <= outcome.elapsed_s


def test_children_that_are_alive_at_once_answer_commands(server: Server) -> None:
    activities: list[str] = []
    with server.start(Job("jobs:obey")) as first, server.start(Job("jobs:obey")) as second:
        for child, command in ((first, 1), (second, 2), (second, 3), (first, 4)):
            child.send(command)
            assert child.answer(60, activities.append) == (command, child.pid)
        second.send("end")
        assert second.outcome(60, activities.append).result == "ended"
        first.send(5)
        assert first.answer(60, activities.append) == (5, first.pid)
    wait_until_gone([first.pid, second.pid])
    assert activities == ["working"] * 5


@pytest.mark.parametrize(
    ("command", "deadline_s", "status"), [("die", 60, Status.CRASHED), ("hang", 1, Status.TIMEOUT)]
)
def test_a_child_that_gives_no_answer_leaves_the_others_alone(
    server: Server, command: str, deadline_s: float, status: Status
) -> None:
    with server.start(Job("jobs:obey")) as failing, server.start(Job("jobs:obey")) as other:
        for child in (failing, other):
            child.send("hello")
            child.answer(60, lambda _: None)
        failing.send(command)
        with pytest.raises(ChildEndedError) as ended:
            failing.answer(deadline_s, lambda _: None)
        assert ended.value.outcome.status is status
        wait_until_gone([failing.pid])
        other.send("still there")
        assert other.answer(60, lambda _: None) == ("still there", other.pid)


def test_each_end_has_its_status_and_its_reason(server: Server) -> None:
    failed = run(server, "fail")
    assert failed.status is Status.ERROR
    assert failed.reason == "ValueError: no such thing"
    assert "Traceback" in failed.detail

    misused = run(server, "misuse")
    assert misused.usage
    assert misused.reason == "--batch-size 0: give more"

    unsupported = run(server, "unsupported")
    assert (unsupported.status, unsupported.axis) == (Status.UNSUPPORTED, "precision")

    killed = run(server, "killed")
    assert killed.status is Status.CRASHED
    assert "SIGKILL" in killed.reason
    assert "last words" in killed.detail

    assert "SIGSEGV" in run(server, "segfault").reason
    assert "exit code 3" in run(server, "leave").reason
    assert run(server, "double", 1).result == 2  # and the server continues


def test_past_the_deadline_the_child_ends_with_all_that_it_started(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []

    def impatient(objects: Any, timeout: float) -> Any:
        return connection.wait(objects, min(timeout, 0.1))

    def pass_the_deadline(word: str) -> None:
        pids.extend(map(int, word.split()))
        monkeypatch.setattr(supervision, "wait", impatient)

    outcome = server.run(Job("jobs:sleep", (None,)), deadline_s=3600, on_progress=pass_the_deadline)
    assert outcome.status is Status.TIMEOUT
    assert "--deadline" in str(outcome.reason)
    assert len(pids) == 2
    wait_until_gone(pids)


def test_the_deadline_is_of_a_silence(server: Server) -> None:
    outcome = run(server, "slow", 0.5, 8, deadline_s=3)
    assert (outcome.status, outcome.result) == (Status.OK, 8)
    assert outcome.elapsed_s > 3


def test_a_child_leads_its_own_process_group(server: Server) -> None:
    assert run(server, "group").result is True


def test_a_user_s_models_and_reports_are_found_before_stepbench_s_own(
    server: Server, tmp_path: Path
) -> None:
    for name in ("models", "reports"):
        (tmp_path / f"{name}.py").touch()
    files = run(server, "loads").result
    assert files == (str(tmp_path / "reports.py"), str(tmp_path / "models.py"))


WITHOUT_PIDFD = {
    "missing": "import os\ndel os.pidfd_open\n",
    "refused": """
import errno, os
def pidfd_open(pid, flags=0):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
os.pidfd_open = pidfd_open
""",
}


@needs_forking
@pytest.mark.parametrize("planted", WITHOUT_PIDFD.values(), ids=WITHOUT_PIDFD.keys())
def test_a_kernel_without_pidfd_reports_each_end(tmp_path: Path, planted: str) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    (tmp_path / "old_kernel.py").write_text(planted)
    preload = ("stepbench.process.child", "old_kernel")
    server = ForkServer(preload, [str(tmp_path), *sys.path], tmp_path)
    try:
        assert "exit code 3" in run(server, "leave").reason
        assert "SIGKILL" in run(server, "killed").reason
        left_behind = run(server, "leave_a_worker").result
        assert run(server, "double", 1).result == 2
        wait_until_gone([left_behind])
    finally:
        server.close()


@needs_forking
def test_a_child_starts_with_the_default_handling_of_its_own_children(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    server = ForkServer(("stepbench.process.child",), sys.path, tmp_path)
    handler, wakeup_fd = run(server, "signals").result
    server.close()
    assert handler == signal.SIG_DFL
    assert wakeup_fd == -1


BLOCKS = """
import signal, sys
from pathlib import Path
from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
server = ForkServer(("stepbench.process.child",), sys.path, Path(sys.argv[1]))
print(server.run(Job("jobs:leave"), deadline_s=60, on_progress=print).reason)
server.close()
"""


@needs_forking
def test_a_parent_may_block_the_signal_of_a_child_s_end(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    command = [sys.executable, "-c", BLOCKS, str(tmp_path)]
    # The time limit only ends a test that fails: the server would never report the child's end.
    parent = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert "exit code 3" in parent.stdout


def test_a_failed_import_is_reported(tmp_path: Path) -> None:
    server = ForkServer(("no_such_module",), sys.path, tmp_path)
    with pytest.raises(ServerGoneError, match="no_such_module"):
        run(server, "double", 1)
    server.close()
