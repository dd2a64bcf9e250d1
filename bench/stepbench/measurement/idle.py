"""Waits until this process is idle: its threads sleep, and its loader workers' queues are full."""

import time
from collections.abc import Iterable

from stepbench.devices.clock import DeviceClock
from stepbench.interference.processor_time import cpu_time_s

IDLE_S, IDLE_SHARE = 0.002, 0.1
"""A process is idle once it and its workers are busy for less than `IDLE_SHARE` of `IDLE_S`."""
MAX_WAIT_S = 2.0
"""The longest wait, seconds. A process with a thread that always works never becomes idle."""


def wait_until_idle(clock: DeviceClock, workers: Iterable[int]) -> None:
    """Waits until the device, this process's threads and its workers are idle.

    Args:
        clock: The device's clock.
        workers: The process ids of the loader's workers.
    """
    clock.synchronize()
    deadline = time.perf_counter() + MAX_WAIT_S
    while time.perf_counter() < deadline:
        before = _busy_s(workers)
        began = time.perf_counter()
        time.sleep(IDLE_S)
        if _busy_s(workers) - before < IDLE_SHARE * (time.perf_counter() - began):
            return


def _busy_s(workers: Iterable[int]) -> float:
    return time.process_time() + cpu_time_s(workers)
