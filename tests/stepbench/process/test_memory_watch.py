import sys
from pathlib import Path

import pytest

from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job
from stepbench_reports.schema.status import Status
from support.jobs import JOBS, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux")


def test_more_memory_than_allowed_ends_as_out_of_memory(fork_server: ForkServer) -> None:
    outcome = run(fork_server, "reserve", memory_limit_bytes=2 << 30)
    assert outcome.status is Status.OOM
    assert "lower --batch-size" in outcome.reason


@pytest.mark.parametrize(
    ("shared_mb", "workers"), [(400, 0), (50, 4)], ids=["shared memory", "workers"]
)
def test_the_limit_holds_for_all_processes_of_a_case_together(
    fork_server: ForkServer, shared_mb: int, workers: int
) -> None:
    job = Job("jobs:share", (shared_mb << 20, workers), memory_limit_bytes=200 << 20)
    outcome = fork_server.run(job, deadline_s=300, on_progress=lambda _: None)
    assert outcome.status is Status.OOM
    assert "more than --memory-limit (0.21 GB)" in str(outcome.reason)


def test_a_lower_limit_of_the_system_stays(tmp_path: Path) -> None:
    hard_limit = 8 << 30
    (tmp_path / "jobs.py").write_text(JOBS)
    (tmp_path / "limited.py").write_text(
        f"import resource\nresource.setrlimit(resource.RLIMIT_DATA, ({hard_limit}, {hard_limit}))\n"
    )
    server = ForkServer(
        ("stepbench.process.child", "limited"), [str(tmp_path), *sys.path], tmp_path
    )
    outcome = run(server, "data_limit", memory_limit_bytes=2 * hard_limit)
    server.close()
    assert outcome.result == (hard_limit, hard_limit), outcome


def test_what_a_case_shares_with_its_server_leaves_room_for_its_own(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    (tmp_path / "large.py").write_text("data = b'x' * (600 << 20)\n")
    server = ForkServer(("stepbench.process.child", "large"), [str(tmp_path), *sys.path], tmp_path)
    outcome = run(server, "use", 200 << 20, memory_limit_bytes=900 << 20)
    server.close()
    assert outcome.status is Status.OK, outcome


def test_a_limit_that_is_kept_changes_nothing(fork_server: ForkServer) -> None:
    with fork_server.start(Job("jobs:obey", memory_limit_bytes=1 << 30)) as child:
        for command in range(3):
            child.send(command)
            assert child.answer(60, lambda _: None) == (command, child.pid)
