"""The run delay of this process: for how long its threads waited for a core; and its cores."""

import contextlib
import os
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
                total += int((task / "schedstat").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return total / 1e9


def use_cores(cores: Collection[int]) -> None:
    """Has all threads of this process run on `cores` alone, where the system can (Linux)."""
    if not hasattr(os, "sched_setaffinity"):
        return
    for task in _TASKS.iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(int(task.name), cores)
