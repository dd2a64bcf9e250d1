import sys
from pathlib import Path

import pytest

from stepbench.process.descendants import SHARED_MEMORY
from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job
from stepbench_reports.schema.status import Status
from support.jobs import JOBS, run, wait_until_gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux")


def test_processes_in_sessions_of_their_own_end_with_their_case_and_are_counted(
    tmp_path: Path,
) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    left_behind: list[tuple[str, int]] = []
    server = ForkServer(
        ("stepbench.process.child",),
        sys.path,
        tmp_path,
        on_left_behind=lambda job, names: left_behind.append((job.label, sum(names.values()))),
    )
    pids: list[str] = []
    with server.start(Job("jobs:obey")) as other:
        job = Job("jobs:leave_sessions", (3,), label="case")
        outcome = server.run(job, deadline_s=60, on_progress=pids.append)
        assert outcome.status is Status.OK
        assert len(pids) == 4
        assert left_behind == [("case", 4)]
        wait_until_gone([int(pid) for pid in pids])
        other.send("still there")
        assert other.answer(60, lambda _: None) == ("still there", other.pid)
    wait_until_gone([run(server, "leave_a_worker").result])
    assert len(left_behind) == 1  # what is in the child's group ends with it anyway
    server.close()


def test_a_child_that_is_killed_leaves_no_temporary_files(
    fork_server: ForkServer,
) -> None:
    messages: list[str] = []
    fork_server.run(Job("jobs:open_listener"), deadline_s=60, on_progress=messages.append)
    pid, socket_file = messages[0].split()
    assert not list(SHARED_MEMORY.glob(f"torch_{pid}_*"))
    fork_server.restart()
    assert not Path(socket_file).parent.exists()
