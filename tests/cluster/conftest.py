"""Real clusters on this machine, one of a kind for all tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support import ray_cluster, slurm_cluster
from support.cluster_runs import Command, Start
from support.ray_cluster import RayCluster
from support.slurm_cluster import SlurmCluster


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Daemons outlive the test that has started them; their cluster's fixture ends them."""


@pytest.fixture(scope="session")
def slurm() -> Iterator[SlurmCluster]:
    """A SLURM cluster of the nodes n1 and n2."""
    reason = slurm_cluster.absence_reason()
    if reason is not None:
        pytest.skip(reason)
    with slurm_cluster.running() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def ray() -> Iterator[RayCluster]:
    """A Ray cluster of two nodes."""
    reason = ray_cluster.absence_reason()
    if reason is not None:
        pytest.skip(reason)
    with ray_cluster.running() as cluster:
        yield cluster


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `stepbench run` with variables and arguments."""
    commands: list[Command] = []

    def run(environment: Mapping[str, str], *arguments: str) -> Command:
        with (tmp_path / "output.txt").open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "stepbench", "run", *arguments],
                cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT, text=True,
                start_new_session=True, env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
                preexec_fn=lambda: signal.signal(  # noqa: PLW1509  # there is one thread
                    signal.SIGINT, signal.default_int_handler
                ),
            )  # fmt: skip
        commands.append(Command(process, tmp_path))
        return commands[-1]

    yield run
    for command in commands:
        if command.process.poll() is None:
            command.process.kill()
        command.process.wait()
