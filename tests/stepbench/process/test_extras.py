"""Packages that initialize a device when they are imported, in real servers with the real torch."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from stepbench.process.extras import Extras
from stepbench.process.fork_server import ForkServer
from stepbench.process.job import Job
from stepbench.process.server import ServerGoneError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server is for Linux")

JOBS = """
import os, sys

def state(report):
    import torch
    return {
        "lost": torch.cuda._is_in_bad_fork(),
        "loaded": sorted({"harmless", "greedy", "greedy.part", "zealous"} & set(sys.modules)),
    }

def variable(report):
    import counting
    return counting.VALUE, os.environ.get("PYTORCH_NVML_BASED_CUDA_CHECK")
"""
REAL = "import torch\ntorch._C._cuda_getDeviceCount()\n"
"""What `torch.cuda.is_available` does without NVML: forked processes cannot use CUDA then."""
PLANTED = """
import os, torch
def lose():
    torch.cuda._is_in_bad_fork = lambda: True
os.register_at_fork(after_in_child=lose)
"""
WITH_GPU = "torch.cuda.is_available = lambda: True\n"
WITHOUT_GPU = "torch.cuda.is_available = lambda: False\n"
NAMES = ("greedy", "greedy.part", "harmless", "zealous")


@pytest.fixture(params=["real", "planted"])
def initializes(request: pytest.FixtureRequest) -> str:
    """Code that makes CUDA unusable in forked processes."""
    if request.param == "real" and not hasattr(torch._C, "_cuda_getDeviceCount"):
        pytest.skip("this torch is built without CUDA")
    return REAL if request.param == "real" else PLANTED


def write_packages(directory: Path, **code: str) -> None:
    (directory / "jobs.py").write_text(JOBS)
    for name in ("harmless", "greedy", "zealous"):
        (directory / name).mkdir()
        (directory / name / "__init__.py").write_text(code.get(name, ""))
    (directory / "greedy" / "part.py").touch()


@contextmanager
def started(directory: Path, extras: Extras, preload: str = "torch") -> Iterator[ForkServer]:
    server = ForkServer((preload,), [str(directory), *sys.path], directory, extras=extras)
    try:
        yield server
    finally:
        server.close()


def run(server: ForkServer, name: str) -> Any:
    outcome = server.run(Job(f"jobs:{name}"), deadline_s=300, on_progress=lambda _: None)
    assert outcome.reason is None
    return outcome.result


def test_packages_that_initialize_a_device_are_left_out_and_named(
    tmp_path: Path, initializes: str
) -> None:
    write_packages(
        tmp_path, greedy=initializes + WITH_GPU, zealous=initializes + WITH_GPU
    )  # each of them alone
    notes: list[str] = []
    extras = Extras(NAMES, notes.append)
    expected = {"lost": False, "loaded": ["harmless"]}
    with started(tmp_path, extras) as server:
        assert run(server, "state") == expected
    assert [note.partition(" initializes cuda when")[0] for note in notes] == ["greedy", "zealous"]
    extras.add(("greedy.part",))
    with started(tmp_path, extras) as server:
        assert run(server, "state") == expected
    assert len(notes) == 2


def test_nothing_is_left_out_on_a_machine_without_the_device(
    tmp_path: Path, initializes: str
) -> None:
    write_packages(tmp_path, greedy=initializes + WITHOUT_GPU)
    notes: list[str] = []
    with started(tmp_path, Extras(NAMES, notes.append)) as server:
        assert run(server, "state") == {"lost": True, "loaded": sorted(NAMES)}
    assert notes == []


@pytest.mark.parametrize("names", [(), NAMES], ids=["alone", "with extras"])
def test_a_needed_module_that_initializes_a_device_is_an_error(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    write_packages(tmp_path)
    (tmp_path / "needed.py").write_text(PLANTED + WITH_GPU)
    with (
        started(tmp_path, Extras(names), "needed") as server,
        pytest.raises(ServerGoneError, match=r"initializes cuda, .*TORCH_DEVICE_BACKEND_AUTOLOAD"),
    ):
        server.wait_until_ready()


@pytest.mark.parametrize("users_value", [None, "0"])
def test_imports_count_gpus_without_initializing_cuda(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, users_value: str | None
) -> None:
    write_packages(tmp_path)
    name = "PYTORCH_NVML_BASED_CUDA_CHECK"
    (tmp_path / "counting.py").write_text(f"import os\nVALUE = os.environ[{name!r}]\n")
    if users_value is None:
        monkeypatch.delenv(name, raising=False)
    else:
        monkeypatch.setenv(name, users_value)
    with started(tmp_path, Extras(("counting",)), "stepbench.process.child") as server:
        assert run(server, "variable") == ("1", users_value)
