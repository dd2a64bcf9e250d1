"""The pool of processes in which Inductor compiles is gone before anything is sampled."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job
from stepbench.regression.side_requests import SideRequest
from stepbench.regression.tree import Tree
from stepbench_reports.schema.run import SamplingOptions
from stepbench_reports.schema.status import Status
from support import repositories

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    """A server whose children compile with a sidecar and two workers, as on a larger machine."""
    monkeypatch.setenv("TORCHINDUCTOR_WORKER_START", "subprocess")
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "2")
    started = ForkServer(("stepbench.process.child",), sys.path, tmp_path)
    yield started
    started.close()


def result_of(server: ForkServer, function: str, *arguments: Any) -> Any:
    job = Job(f"support.compile_pool:{function}", arguments)
    outcome = server.run(job, deadline_s=600, on_progress=lambda _: None)
    assert outcome.status is Status.OK, outcome.detail
    return outcome.result


def test_no_compile_worker_is_left_when_a_case_takes_turns(
    server: ForkServer, tmp_path: Path
) -> None:
    case = Case(workload="mlp", compile="backend:aot_eager")
    request = Request(case, SamplingOptions(max_time_s=0.4), tmp_path / "cache")
    trees, known = result_of(server, "measured", request)
    assert len(trees["compilation"]) == 4  # the first, one in warm-up, one in each of two turns
    assert min(trees["compilation"]) >= 2  # the sidecar and a worker
    assert trees["warm-up"] == trees["memory"] == [0]
    assert trees["turn"] == [0, 0, 0]
    assert known == [False, False, False]


def test_no_compile_worker_is_left_when_a_pair_takes_turns(
    server: ForkServer, tmp_path: Path
) -> None:
    checkout = repositories.make(tmp_path / "head")
    case = Case(workload="train.py:make", compile="backend:aot_eager", num_workers=1)
    side_request = SideRequest(
        Tree("head", checkout, checkout, Path()),
        Request(case, SamplingOptions(), tmp_path / "cache"),
    )
    trees, waited_for = result_of(server, "side", side_request)
    assert trees["built"] == [1]  # the loader's worker
    assert min(trees["compilation"]) >= 3
    assert trees["warm"] == [1]
    assert len(waited_for) == 1
