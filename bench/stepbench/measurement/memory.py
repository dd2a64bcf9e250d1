"""The peak memory of a process tree.

Readings take milliseconds each, so they are taken in a pass of their own and never while steps are
timed.
"""

import threading
from typing import Self

import psutil

READING_INTERVAL_S = 0.02


def _tree_bytes() -> int:
    """Memory of this process and all its descendants.

    PSS shares each page among those who map it, so that the pages that loader workers share with
    their parent count once; where the system has no PSS, USS, which leaves them out.
    """
    this = psutil.Process()
    total = 0
    for process in (this, *this.children(recursive=True)):
        try:
            info = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        total += getattr(info, "pss", info.uss)
    return total


class HostPeak:
    """While its context lasts, the peak of the process tree's memory: `peak_bytes`."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="host-memory", daemon=True)

    def _watch(self) -> None:
        while not self._done.wait(READING_INTERVAL_S):
            self.peak_bytes = max(self.peak_bytes, _tree_bytes())

    def __enter__(self) -> Self:
        """Starts to watch."""
        self.peak_bytes = _tree_bytes()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Reads once more, and stops."""
        self._done.set()
        self._thread.join()
        self.peak_bytes = max(self.peak_bytes, _tree_bytes())
