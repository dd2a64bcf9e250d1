import threading
from pathlib import Path

from stepbench.interference.speed_probe import SpeedProbe


def test_a_probe_takes_time_and_starts_no_thread() -> None:
    before = threading.active_count()
    tasks = _tasks()
    probe = SpeedProbe()
    assert all(0 < probe.elapsed_s() < 60 for _ in range(3))
    assert threading.active_count() == before
    assert _tasks() == tasks


def _tasks() -> int:
    """The number of this process's threads by the system's count, on Linux."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 1
