import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stepbench.cluster.engine import JobPhase, JobSpec, Node
from stepbench.cluster.engines import make_engine
from stepbench.cluster.local import LocalEngine
from stepbench.config.cluster import ClusterOptions
from stepbench.errors import UsageError

LIMIT_S = 60


def engine(nodes: int = 1) -> LocalEngine:
    return LocalEngine(ClusterOptions("local", {"nodes": str(nodes)}))


def job(directory: Path, number: int, code: str, node: Node | None = None) -> JobSpec:
    command = (sys.executable, "-S", "-c", code)
    return JobSpec(number, command, directory, directory / f"{number}.log", node)


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def all_ended(local: LocalEngine) -> Callable[[], bool]:
    return lambda: all(state.phase is JobPhase.ENDED for state in local.states().values())


def test_jobs_run_one_a_node_with_their_output_in_their_logs(tmp_path: Path) -> None:
    local = engine(2)
    code = "import os; print(os.environ['STEPBENCH_NODE'], os.getcwd())"
    local.submit([job(tmp_path, number, code) for number in (1, 2, 3)])
    running = [state for state in local.states().values() if state.phase is JobPhase.RUNNING]
    assert len(running) <= 2
    wait_for(all_ended(local))
    nodes = {(tmp_path / f"{number}.log").read_text() for number in (1, 2, 3)}
    assert nodes == {f"local-{number} {tmp_path}\n" for number in (1, 2)}
    assert all(state.reason is None for state in local.states().values())


def test_a_job_runs_on_the_node_that_it_names(tmp_path: Path) -> None:
    local = engine(2)
    code = "import os; print(os.environ['STEPBENCH_NODE'])"
    local.submit([job(tmp_path, number, code, local.nodes()[1]) for number in (1, 2)])
    wait_for(all_ended(local))
    assert [(tmp_path / f"{number}.log").read_text() for number in (1, 2)] == ["local-2\n"] * 2


def test_the_reason_of_an_end_is_its_exit_code_or_signal(tmp_path: Path) -> None:
    local = engine(2)
    local.submit(
        [
            job(tmp_path, 1, "raise SystemExit(3)"),
            job(tmp_path, 2, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"),
        ]
    )
    wait_for(all_ended(local))
    reasons = {number: state.reason for number, state in local.states().items()}
    assert reasons == {1: "ended with exit code 3", 2: "was ended by signal 9 (SIGKILL)"}


def test_cancelling_ends_what_runs_in_order_and_what_waits_never_runs(tmp_path: Path) -> None:
    local = engine()
    code = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('ended in order')))\n"
        "pathlib.Path('up').touch()\n"
        "time.sleep(600)"
    )
    local.submit([job(tmp_path, 1, code), job(tmp_path, 2, "print('ran')")])
    wait_for((tmp_path / "up").exists)
    local.close()
    assert (tmp_path / "1.log").read_text() == "ended in order\n"
    assert not (tmp_path / "2.log").exists()
    assert local.states()[2].reason == "was cancelled"


def test_a_job_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepbench.cluster.local.END_S", 0.1)
    local = engine()
    code = (
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path('up').touch()\n"
        "time.sleep(600)"
    )
    local.submit([job(tmp_path, 1, code)])
    wait_for((tmp_path / "up").exists)
    local.cancel()
    assert local.states()[1].reason == f"was ended by signal {int(signal.SIGKILL)} (SIGKILL)"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"nodes": "0"}, "--on-option nodes=0: give a number from 1 to 64"),
        ({"nodes": "many"}, "--on-option nodes=many: give a whole number"),
        ({"partition": "gpu"}, "--on local has no such option; choose from nodes"),
    ],
)
def test_options_that_cannot_be_used(tmp_path: Path, values: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_engine(ClusterOptions("local", values), tmp_path / "run", tmp_path, gpus=0)
