"""The CPU time of processes, with nanosecond resolution if the system offers it."""

import time
from collections.abc import Iterable
from pathlib import Path

import psutil


def cpu_time_s(pids: Iterable[int]) -> float:
    """Returns the CPU time of processes and all their threads, seconds; an ended one counts 0."""
    total = 0.0
    for pid in pids:
        try:
            total += _processor_time_s(pid)
        except (OSError, psutil.Error):
            continue
    return total


def _processor_time_s(pid: int) -> float:
    if hasattr(time, "CLOCK_PROCESS_CPUTIME_ID") and Path("/proc/self").exists():
        # The clock that clock_getcpuclockid(3) returns for another process: its resolution is
        # nanoseconds, while /proc counts ticks of 10 ms.
        return time.clock_gettime((~pid << 3) | 2)
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
