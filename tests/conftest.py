import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from support import gpus as nvidia_gpus
from support import warm
from support.warm import WarmCommands, WarmInterpreter

nvidia_gpus.hide()
# Two tests run at once, and torch's threads would spin while they wait for each other's cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Without compiled files each interpreter that a test starts would compile torch anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Neither luck nor the machine's speed decides about a test.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

TINY = """
    import os, time
    import torch
    from stepbench import Workload

    class Data(torch.utils.data.Dataset):
        def __len__(self):
            return 64

        def __getitem__(self, index):
            return torch.full((8,), index / 64), index % 2

    def make():
        return Workload(
            model=lambda: torch.nn.Linear(8, 2),
            dataset=Data,
            loss=torch.nn.CrossEntropyLoss(),
            optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.01),
        )
"""
"""A workload as a user writes one; a step takes a fraction of a millisecond."""


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all the tests, apart from the user's own."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # which the workers have in common
    place = base / "stepbench-cache"
    place.mkdir(exist_ok=True)
    return place


@pytest.fixture(scope="session")
def warm_servers() -> Iterator[WarmInterpreter]:
    """An interpreter with all that a server imports."""
    with warm.interpreter(warm.server_modules()) as found:
        yield found


@pytest.fixture(scope="session")
def commands(warm_servers: WarmInterpreter) -> Iterator[WarmCommands]:
    """Runs commands in forks of an interpreter that has imported what they need."""
    with warm.interpreter(warm.COMMAND_MODULES) as found:
        yield WarmCommands(found, warm_servers)


@pytest.fixture
def forked_servers(warm_servers: WarmInterpreter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the servers that this process starts forked from a warm interpreter."""
    from stepbench.process import server_process

    monkeypatch.setattr(server_process, "subprocess", warm.warm_subprocess(warm_servers.address))


@pytest.fixture(autouse=True)
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPBENCH_CACHE_DIR", str(cache))


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No process outlives the test that started it."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    left = [
        child
        for child in psutil.Process().children(recursive=True)
        # multiprocessing keeps one process of its own for as long as the interpreter lives
        if child.pid not in before and "resource_tracker" not in _command(child)
    ]
    _, alive = psutil.wait_procs(left, timeout=60)
    assert not alive


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shows the GPUs to the processes that the test starts; skips the test if there is none."""
    nvidia_gpus.show(monkeypatch)
    reason = nvidia_gpus.absence_reason()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Path]:
    """Writes a workload file into the test's directory, with lines of one's own at its end."""

    def write(name: str = "tiny.py", more: str = "") -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(TINY) + "\n" + textwrap.dedent(more))
        return path

    return write


@pytest.fixture
def nothing_compiled() -> Iterator[None]:
    """Nothing was compiled before: a case has a process of its own."""
    import torch
    from torch._dynamo import utils

    torch._dynamo.reset()
    utils.counters.clear()
    utils.graph_break_reasons.clear()
    utils.clear_compilation_metrics()
    yield
    torch._dynamo.reset()


Bench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bench(commands: WarmCommands, tmp_path: Path) -> Bench:
    """Runs `stepbench run` in the test's directory, as a user does."""

    def run(*arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "stepbench", "run", *arguments]
        return commands.run(command, cwd=tmp_path, timeout=timeout)

    return run


@pytest.fixture
def start_bench(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `stepbench run` and leaves it running."""
    started = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "stepbench", "run", *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A shell starts what it puts into the background with Ctrl-C ignored.
            preexec_fn=lambda: signal.signal(  # noqa: PLW1509  # there is one thread
                signal.SIGINT, signal.default_int_handler
            ),
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
