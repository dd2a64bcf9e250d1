"""Memory: the peak of the process tree, and the device's own.

Readings of the process tree take milliseconds each, so they are taken in a pass of their own and
never while steps are timed.
"""

import threading
from typing import Any, Self

import psutil
import torch

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


def reset_device_peak(device: torch.device) -> None:
    """Forgets the device's peak so far, where it keeps one."""
    if device.type in {"cuda", "xpu"}:
        torch.get_device_module(device).reset_peak_memory_stats(device)


def device_peak(device: torch.device) -> dict[str, Any]:
    """The device's peak since it was reset, bytes; `None` where it keeps none."""
    if device.type not in {"cuda", "xpu"}:
        return {"device_peak_allocated_bytes": None, "device_peak_reserved_bytes": None}
    module = torch.get_device_module(device)
    return {
        "device_peak_allocated_bytes": module.max_memory_allocated(device),
        "device_peak_reserved_bytes": module.max_memory_reserved(device),
    }
