"""The run delay of this process: for how long its threads waited for a core; and its cores."""

import contextlib
import os
import threading
from collections.abc import Collection
from pathlib import Path

_TASKS = Path("/proc/self/task")


def run_delay_s() -> float | None:
    """Returns the run delay of this process's threads since they began, seconds.

    Linux counts it in `/proc/PID/task/TID/schedstat`, in nanoseconds; `None` elsewhere.
    """
    total = 0
    try:
        for task in _TASKS.iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                total += _delay_ns(task)
    except (OSError, IndexError, ValueError):
        return None
    return total / 1e9


def thread_run_delay_s() -> float | None:
    """Returns the run delay of the calling thread since it began, seconds; see `run_delay_s`."""
    try:
        return _delay_ns(_TASKS / str(threading.get_native_id())) / 1e9
    except (OSError, IndexError, ValueError):
        return None


def _delay_ns(task: Path) -> int:
    return int((task / "schedstat").read_text().split()[1])


def use_cores(cores: Collection[int]) -> None:
    """Has all threads of this process run on `cores` alone, where the system can (Linux)."""
    if not hasattr(os, "sched_setaffinity"):
        return
    for task in _TASKS.iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(int(task.name), cores)
