"""The peak memory of a process tree and of a device.

A reading of a process tree takes milliseconds, so it is taken in a separate pass and never while
steps are timed.
"""

import threading
from typing import Self

import psutil

from stepbench.config.case import Case
from stepbench.devices.kinds import kind_of

READING_INTERVAL_S = 0.02


def _tree_bytes() -> int:
    """The memory of this process and all its descendants, bytes, each page counted once.

    The resident memory of this process, with all that it shares with the server that it was forked
    from, and what each descendant has beyond that (USS). The sum is what the tree would need alone,
    however many other cases share pages with it. Page-locked memory of CUDA is in it: the driver
    maps it as shared memory of the process that allocated it.
    """
    current = psutil.Process()
    total = current.memory_info().rss
    for process in current.children(recursive=True):
        try:
            total += process.memory_full_info().uss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def device_peak_bytes(case: Case) -> int | None:
    """The peak memory of a case's device since the last reset, bytes; `None` if not recorded.

    The memory of CUDA graphs does not count as allocated. With them it is the peak of reserved
    memory, else that of allocated memory.
    """
    peak = kind_of(case.device).peak_memory(case.device)
    if case.uses_cuda_graphs:
        return peak.device_peak_reserved_bytes
    return peak.device_peak_allocated_bytes


class HostPeak:
    """A context that records the peak memory of the process tree in `peak_bytes`."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="host-memory", daemon=True)

    def _watch(self) -> None:
        while not self._done.wait(READING_INTERVAL_S):
            self.peak_bytes = max(self.peak_bytes, _tree_bytes())

    def __enter__(self) -> Self:
        """Starts the readings."""
        self.peak_bytes = _tree_bytes()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops the readings, after a last one."""
        self._done.set()
        self._thread.join()
        self.peak_bytes = max(self.peak_bytes, _tree_bytes())
