"""`--on slurm` with real daemons: two nodes on this machine."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import stepbench_reports
from stepbench.cluster.engine import JobPhase, JobSpec
from stepbench.cluster.slurm import SlurmEngine
from stepbench.config.cluster import ClusterOptions
from support.cluster_runs import ARGUMENTS, WAITS, Start, hosts, statuses
from support.slurm_cluster import SlurmCluster, wait_until

pytestmark = pytest.mark.cluster
ON = ("--on", "slurm")
JOBS = 2000
"""More jobs than an array may have (1,001)."""


@pytest.fixture(autouse=True)
def idle(slurm: SlurmCluster) -> None:
    """No job is left of the test before."""
    wait_until(lambda: set(slurm.states().values()) == {"idle"}, "the nodes are idle")


def test_a_run_survives_the_loss_of_a_node_and_is_resumed(
    slurm: SlurmCluster, start: Start, tiny: Any, tmp_path: Path
) -> None:
    tiny(more=WAITS)
    run = start(slurm.environment, *ARGUMENTS, "--batch-size", "4", "8", *ON)
    run.wait_for_nodes("n1", "n2")
    slurm.kill_node("n2")
    (tmp_path / "go").touch()
    code, output = run.end()
    assert code == 1, output
    assert "on n2 lost its node" in output
    assert "Not measured: tiny-cpu-b" in output
    assert " --on slurm" in output.split("1 of 2 cases not measured; measure them with:")[1]
    assert len(statuses(tmp_path / "out")) == 1

    slurm.start_node("n2")
    wait_until(lambda: set(slurm.states().values()) == {"idle"}, "n2 is back")
    code, output = start(slurm.environment, "--resume", "out", *ON).end()
    assert code == 0, output
    assert "already measured: 1 of 2 cases" in output
    assert statuses(tmp_path / "out") == {"b4": "ok", "b8": "ok"}
    assert stepbench_reports.load(tmp_path / "out").links


def test_a_preempted_job_is_named_and_taken_again(
    slurm: SlurmCluster, start: Start, tiny: Any, tmp_path: Path
) -> None:
    tiny(more=WAITS)
    run = start(slurm.environment, *ARGUMENTS, "--batch-size", "4", "8", *ON)
    run.wait_for_nodes("n1", "n2")
    urgent = "sbatch", "-p", "high", "-w", "n1", "--exclusive", "-o", "/dev/null", "--wrap"
    slurm.output(*urgent, "sleep 1")
    run.wait_for(lambda: "job " in run.output() and "failed" in run.output(), "the preemption")
    (tmp_path / "go").touch()
    code, output = run.end()
    assert code == 1, output
    assert "on n1 was preempted by another job. Not measured: tiny-cpu-b" in output
    assert hosts(tmp_path / "out") == {"n2"}
    code, output = start(slurm.environment, "--resume", "out", *ON).end()
    assert code == 0, output
    assert statuses(tmp_path / "out") == {"b4": "ok", "b8": "ok"}


def test_ctrl_c_cancels_what_waits_and_keeps_what_is_finished(
    slurm: SlurmCluster, start: Start, tiny: Any, tmp_path: Path
) -> None:
    tiny(more=WAITS)
    sizes = ("4", "8", "16", "32")
    run = start(
        slurm.environment, *ARGUMENTS, "--batch-size", *sizes, "--hosts-as-axis", *ON,
        "--on-option", "comment=tried",
    )  # fmt: skip
    run.wait_for_nodes("n1", "n2")
    (tmp_path / "go-n1").touch()
    run.wait_for(lambda: "job 1 on n1: done" in run.output(), "the first job")
    run.interrupt()
    code, output = run.end()
    assert code == 2, output
    assert "interrupted: 1 job is cancelled" in output
    assert slurm.output("squeue", "-h").strip() == ""
    assert statuses(tmp_path / "out") == {f"b{size}": "ok" for size in sizes}
    (tmp_path / "go").touch()
    code, output = start(slurm.environment, "--resume", "out", *ON).end()
    assert code == 0, output
    read = stepbench_reports.load(tmp_path / "out")
    assert {(m.id, m.host) for m in read.repeats} == {(m.id, "n2") for m in read.measured}
    assert {speed.facts.name for speed in read.host_speeds} == {"n1", "n2"}


def test_options_that_sbatch_refuses_and_a_controller_that_is_gone_are_told(
    slurm: SlurmCluster, start: Start, tiny: Any, tmp_path: Path
) -> None:
    tiny()
    refused = (*ARGUMENTS, "--batch-size", "4", *ON, "--on-option", "account=a", "qos=none", "x=1")
    code, output = start(slurm.environment, *refused).end()
    assert code == 1, output
    assert "sbatch refuses the jobs" in output
    config = (slurm.path / "slurm.conf").read_text()
    port = next(line for line in config.splitlines() if line.startswith("SlurmctldPort"))
    (tmp_path / "slurm.conf").write_text(config.replace(port, "SlurmctldPort=1"))
    nobody = {"SLURM_CONF": str(tmp_path / "slurm.conf")}
    again = (*ARGUMENTS[:-1], "other", "--batch-size", "4", *ON)
    code, output = start(nobody, *again).end()
    assert code == 4, output
    assert "--on slurm: sinfo" in output
    assert not (tmp_path / "other").exists()


def test_thousands_of_jobs_go_through_in_arrays(
    slurm: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    (tmp_path / "ran").mkdir()
    python = tmp_path / "python"
    # Stands for submitit's process, of which 2,000 would take many minutes.
    python.write_text(f"#!/bin/sh\n: >{tmp_path}/ran/$SLURM_ARRAY_JOB_ID-$SLURM_ARRAY_TASK_ID\n")
    python.chmod(0o755)
    options = ClusterOptions("slurm", {"exclusive": "false"})
    engine = SlurmEngine(options, tmp_path / "empty", tmp_path / "engine", python=str(python))
    jobs = [JobSpec(number, ("true",), tmp_path, tmp_path / "log") for number in range(1, JOBS + 1)]
    try:
        engine.submit(jobs)
        deadline = time.monotonic() + 400
        while len(os.listdir(tmp_path / "ran")) < JOBS:  # noqa: PTH208  # names alone
            assert time.monotonic() < deadline, len(os.listdir(tmp_path / "ran"))  # noqa: PTH208
            time.sleep(1)
        wait_until(
            lambda: all(s.phase is JobPhase.ENDED for s in engine.states().values()), "all ended"
        )
    finally:
        engine.cancel()
    arrays = {file.name.partition("-")[0] for file in (tmp_path / "ran").iterdir()}
    assert len(arrays) == 2
    assert set(engine.states()) == set(range(1, JOBS + 1))
    assert all(state.reason is None for state in engine.states().values())


def test_the_daemons_are_those_of_this_test(slurm: SlurmCluster) -> None:
    done = subprocess.run(["scontrol", "show", "config"], env={**os.environ, **slurm.environment},
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert str(slurm.path) in done.stdout
