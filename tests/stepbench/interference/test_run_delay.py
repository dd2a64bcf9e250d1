import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepbench.interference import run_delay
from stepbench.interference.run_delay import run_delay_s, use_cores

linux = pytest.mark.skipif(
    not Path("/proc/self/task").exists() or not Path("/proc/self/schedstat").exists(),
    reason="Linux tells how long a thread waited for a core",
)

COMPETE = """
import hashlib, os, threading
from stepbench.interference.run_delay import run_delay_s, use_cores
use_cores({min(os.sched_getaffinity(0))})
block = bytes(1 << 20)

def work(count):  # without the interpreter's lock
    for _ in range(count):
        hashlib.sha256(block)

before = run_delay_s()
threads = [threading.Thread(target=work, args=(300,)) for _ in range(2)]
for thread in threads: thread.start()
stop = threading.Event()
alive = lambda: all(thread.is_alive() for thread in threads)
delay = 0.0
while alive():
    delay = run_delay_s() - before
    stop.wait(0.01)
for thread in threads: thread.join()
print(delay)
"""


@linux
def test_threads_that_share_a_core_wait_for_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPETE], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) > 0.01  # seconds; either thread waits while the other one works


@linux
def test_the_run_delay_never_decreases_while_threads_live() -> None:
    first, second = run_delay_s(), run_delay_s()
    assert first is not None
    assert second is not None
    assert second >= first >= 0


def task(root: Path, number: int, text: str | None) -> None:
    folder = root / str(number)
    folder.mkdir(parents=True)
    if text is not None:
        (folder / "schedstat").write_text(text)


def test_the_run_delay_of_all_threads_is_summed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task(tmp_path, 1, "900000000 250000000 7\n")
    task(tmp_path, 2, "100000000 500000000 3\n")
    task(tmp_path, 3, None)  # it has just ended
    monkeypatch.setattr(run_delay, "_TASKS", tmp_path)
    assert run_delay_s() == pytest.approx(0.75)


@pytest.mark.parametrize("text", ["", "1 x 2", "1"])
def test_a_system_that_does_not_count_has_no_run_delay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    task(tmp_path, 1, text)
    monkeypatch.setattr(run_delay, "_TASKS", tmp_path)
    assert run_delay_s() is None
    monkeypatch.setattr(run_delay, "_TASKS", tmp_path / "none")
    assert run_delay_s() is None


@pytest.fixture
def cores() -> Iterator[set[int]]:
    before = os.sched_getaffinity(0)
    yield before
    use_cores(before)


@linux
def test_all_threads_use_the_cores_that_they_are_given(cores: set[int]) -> None:
    found: list[set[int]] = []
    bound, read = threading.Event(), threading.Event()

    def other() -> None:
        read.set()
        bound.wait(60)
        found.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=other)
    thread.start()
    read.wait(60)
    use_cores({min(cores)})
    bound.set()
    thread.join()
    assert found == [{min(cores)}]
    assert os.sched_getaffinity(0) == {min(cores)}


def test_cores_are_left_alone_where_the_system_has_no_such_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    monkeypatch.setattr(run_delay, "_TASKS", tmp_path / "none")
    use_cores({0})
