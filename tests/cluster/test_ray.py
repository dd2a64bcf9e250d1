"""`--on ray` with a real cluster: two nodes on this machine."""

from pathlib import Path
from typing import Any

import pytest

import stepbench_reports
from support.cluster_runs import ARGUMENTS, WAITS, Start, statuses
from support.ray_cluster import RayCluster

pytestmark = pytest.mark.cluster


def on(cluster: RayCluster) -> tuple[str, ...]:
    return ("--on", "ray", "--on-option", f"address={cluster.address}")


def test_a_run_survives_the_loss_of_a_node_and_is_resumed(
    ray: RayCluster, start: Start, tiny: Any, tmp_path: Path
) -> None:
    tiny(more=WAITS)
    run = start({}, *ARGUMENTS, "--batch-size", "4", "8", *on(ray))
    run.wait_for(lambda: len(list(tmp_path.glob("waiting-*"))) == 2, "a job on each node")
    ray.kill_second()
    run.wait_for(lambda: "failed" in run.output(), "the loss")
    (tmp_path / "go").touch()
    code, output = run.end()
    assert code == 1, output
    assert "lost its node, or Ray's worker there" in output
    assert "Not measured: tiny-cpu-b" in output
    assert len(statuses(tmp_path / "out")) == 1

    ray.add_second()
    code, output = start({}, "--resume", "out", *on(ray)).end()
    assert code == 0, output
    assert statuses(tmp_path / "out") == {"b4": "ok", "b8": "ok"}


def test_ctrl_c_ends_jobs_and_hosts_as_axis_is_resumed(
    ray: RayCluster, start: Start, tiny: Any, tmp_path: Path
) -> None:
    tiny(more=WAITS)
    run = start({}, *ARGUMENTS, "--batch-size", "4", "8", "--hosts-as-axis", *on(ray))
    run.wait_for(lambda: len(list(tmp_path.glob("waiting-*"))) == 2, "a job on each node")
    run.interrupt()
    code, output = run.end()
    assert code == 2, output
    assert "interrupted: 2 jobs are cancelled" in output
    (tmp_path / "go").touch()
    code, output = start({}, "--resume", "out", *on(ray)).end()
    assert code == 0, output
    read = stepbench_reports.load(tmp_path / "out")
    assert len(read.hosts) == 2
    assert len({host.node_id for host in read.hosts}) == 2
    assert len({host.host for host in read.hosts}) == 1  # both are on this machine
    assert {m.id for m in read.repeats} == {m.id for m in read.measured}


def test_a_cluster_that_is_not_there_is_told(start: Start, tiny: Any, tmp_path: Path) -> None:
    tiny()
    nowhere = ("--on", "ray", "--on-option", "address=127.0.0.1:1")
    code, output = start({}, *ARGUMENTS, "--batch-size", "4", *nowhere).end()
    assert code == 4, output
    assert "--on ray: there is no cluster at the address 127.0.0.1:1" in output
    assert not (tmp_path / "out").exists()
