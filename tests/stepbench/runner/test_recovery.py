import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job
from stepbench.process.server import ServerGoneError, ServerLostError
from stepbench.runner.recovery import ServerRecovery

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux")
JOBS = """
import os

def parents_pid(report):
    return os.getppid()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ForkServer]:
    (tmp_path / "jobs.py").write_text(JOBS)
    started = ForkServer(("stepbench.process.child",), sys.path, tmp_path)
    yield started
    started.close()


def pid_of(server: ForkServer) -> int:
    job = Job("jobs:parents_pid")
    pid: int = server.run(job, deadline_s=60, on_progress=lambda _: None).result
    return pid


def test_work_is_repeated_with_another_server_once(server: ForkServer) -> None:
    notes: list[str] = []
    recovery = ServerRecovery(server, notes.append)
    first = recovery.run(lambda: pid_of(server))
    kills = [first]

    def work() -> int:
        while kills:
            os.kill(kills.pop(), signal.SIGKILL)
        return pid_of(server)

    second = recovery.run(work)
    assert second != first
    assert len(notes) == 1
    assert "started again" in notes[0]
    kills.append(second)
    with pytest.raises(ServerLostError, match="--resume"):
        recovery.run(work)
    assert len(notes) == 1


def test_a_server_that_cannot_import_its_modules_is_not_started_again(tmp_path: Path) -> None:
    server = ForkServer(("no_such_module",), sys.path, tmp_path)
    with pytest.raises(ServerGoneError, match="no_such_module"):
        ServerRecovery(server, pytest.fail).run(lambda: pid_of(server))
    server.close()
