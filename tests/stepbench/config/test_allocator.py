"""`--allocator`, from the option to the allocator of a torch that a server imports."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from stepbench.config import options
from stepbench.config.allocator import (
    VARIABLES,
    allocator_environment,
    users_allocator_environment,
)
from stepbench.process import start
from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job
from stepbench.process.server import Server
from stepbench.process.spawn_server import SpawnServer
from stepbench.regression import options as check_options
from stepbench.regression.comparison import Comparison
from stepbench.runner import prepare
from stepbench_reports.schema.check import SIDES
from stepbench_reports.schema.run import Settings

JOBS = """
import os

def allocator(report):
    from stepbench.devices.kinds import kind_of
    import torch
    return kind_of("cuda").allocator_settings(), torch.cuda.get_allocator_backend()

def variable(report, name):
    return os.environ.get(name)
"""
SETTINGS = Settings(allocator="max_split_size_mb:64")
ENVIRONMENT = {
    "PYTORCH_ALLOC_CONF": "max_split_size_mb:64",
    "PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64",
}


def run(server: Server, name: str, *arguments: Any) -> Any:
    outcome = server.run(Job(f"jobs:{name}", arguments), deadline_s=120, on_progress=lambda _: None)
    return outcome.result


def test_nothing_is_set_unless_it_is_requested() -> None:
    assert allocator_environment(Settings()) == {}
    assert allocator_environment(SETTINGS) == ENVIRONMENT


def test_the_users_variables_are_told_apart_from_others() -> None:
    environment = {"PYTORCH_HIP_ALLOC_CONF": "a:1", "PYTORCH_ALLOC_CONF": "b:2", "HOME": "/"}
    users = users_allocator_environment(environment)
    assert users == {"PYTORCH_ALLOC_CONF": "b:2", "PYTORCH_HIP_ALLOC_CONF": "a:1"}


@pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux")
@pytest.mark.skipif(torch.version.cuda is None, reason="this torch has no allocator to set")
@pytest.mark.parametrize(
    ("requested", "backend"),
    [("max_split_size_mb:64", "native"), ("backend:cudaMallocAsync", "cudaMallocAsync")],
)
@pytest.mark.parametrize("users", ["PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_torch_obeys_the_option_and_not_the_user_s_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requested: str, backend: str, users: str
) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    monkeypatch.setenv(users, "max_split_size_mb:32")
    environment = allocator_environment(Settings(allocator=requested))
    server = ForkServer(("torch",), sys.path, tmp_path, environment=environment)
    try:
        assert run(server, "allocator") == (requested, backend)
    finally:
        server.close()


@pytest.mark.parametrize("kind", ["fork", "spawn"])
def test_children_alone_have_the_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "fork" and sys.platform != "linux":
        pytest.skip("the fork server is for Linux")
    (tmp_path / "jobs.py").write_text(JOBS)
    monkeypatch.setenv("USERS", "user's")
    monkeypatch.delenv("OURS", raising=False)
    environment = {"USERS": "1", "OURS": "2"}
    server: Server = (
        ForkServer(("stepbench.process.child",), sys.path, tmp_path, environment=environment)
        if kind == "fork"
        else SpawnServer(sys.path, tmp_path, environment)
    )
    try:
        assert [run(server, "variable", name) for name in ("USERS", "OURS")] == ["1", "2"]
    finally:
        server.close()
    assert os.environ["USERS"] == "user's"
    assert "OURS" not in os.environ


def test_a_run_s_server_has_the_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: dict[str, Any] = {}
    monkeypatch.setattr(start, "start_server", lambda *_, **options: started.update(options))
    given = {"stepbench_allocator": SETTINGS.allocator}
    prepare.start_server(options.read(given, tmp_path), lambda *_: None)
    assert started["environment"] == ENVIRONMENT


def test_both_sides_of_a_check_have_the_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "stepbench_base": "main", "stepbench_workload": ["mlp"],
        "stepbench_allocator": SETTINGS.allocator,
    }  # fmt: skip
    started: list[tuple[str, Any]] = []

    def starter(side: str) -> Any:
        return lambda *arguments: started.append((side, arguments[-1]))

    nothing: Any = None
    comparison = Comparison(
        check_options.read(given, tmp_path), nothing, nothing, start_base_server=starter("base")
    )
    monkeypatch.setattr("stepbench.regression.comparison.start_server", starter("head"))
    for side in SIDES:
        comparison.server(side, (), ())
    assert started == [("base", ENVIRONMENT), ("head", ENVIRONMENT)]


def test_a_run_s_facts_hold_the_user_s_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:32")
    monkeypatch.setattr(prepare, "machine_peaks", lambda *_: {})
    jobs: Any = SimpleNamespace(
        options=options.read({}, tmp_path),
        directory=SimpleNamespace(id="a-run"),
        server=SimpleNamespace(wait_until_ready=lambda: 1.0),
    )
    facts = prepare.run_facts(jobs, [], {"cpu": "a processor"})
    assert facts.allocator_environment == {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:32"}
