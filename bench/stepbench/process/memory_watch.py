"""Watches the memory of a child and all its descendants (Linux), and limits it.

The figure is PSS: a page that several processes share counts once, divided among them. So shared
memory and loader workers count, and what the child shares with its server counts in part. Reading
it walks all pages of a process, which takes milliseconds. So the resident memory, a number that the
kernel keeps, is read at each look, and PSS only if the resident memory has grown so much that the
limit may be exceeded, or after a longer time. A control group would count the page cache too, and
shrink it at the limit, which would slow the data set that is measured.
"""

import os
import time
from pathlib import Path

from stepbench.process.descendants import tree

LOOK_S = 0.2
"""The time between looks, seconds."""
TREE_S = 1.0
"""The time for which the list of descendants is used, seconds: making it reads all of `/proc`."""
PSS_S = 5.0
"""The longest time between readings of PSS, seconds."""
RESERVED = 2
"""A process may reserve this multiple of its limit: not all that is reserved is used."""


def limit_reservations(limit_bytes: int) -> None:
    """Lets a larger allocation of this process fail at once, with a traceback.

    What the process has reserved already does not count: the imports of torch and its threads
    reserve almost a gigabyte, most of which is shared with the server or never used. A lower hard
    limit of the system stays.

    Args:
        limit_bytes: The memory that the process may use, bytes.
    """
    import resource  # noqa: PLC0415  # does not exist on Windows

    limit = _status_bytes("VmData") + RESERVED * limit_bytes
    _, hard_limit = resource.getrlimit(resource.RLIMIT_DATA)
    if hard_limit != resource.RLIM_INFINITY:
        limit = min(limit, hard_limit)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


class MemoryWatch:
    """The memory of a process and its descendants.

    Args:
        pid: The process.
        limit_bytes: The memory that all may use together, bytes.
    """

    def __init__(self, pid: int, limit_bytes: int) -> None:
        self._pid = pid
        self.limit_bytes = limit_bytes
        self._pids: list[int] = []
        self._pss_bytes = self._resident_bytes = 0
        self._looked_s = self._listed_s = self._pss_read_s = -float("inf")

    def excess_bytes(self) -> int | None:
        """The memory of all processes if it is more than the limit, bytes; `None` if it is not.

        May be called at any time: looks at most every `LOOK_S` seconds.
        """
        now_s = time.perf_counter()
        if now_s - self._looked_s < LOOK_S:
            return None
        self._looked_s = now_s
        if now_s - self._listed_s >= TREE_S:
            self._pids, self._listed_s = tree(self._pid), now_s
        resident_bytes = sum(map(_resident_bytes, self._pids))
        left_bytes = self.limit_bytes - self._pss_bytes
        grown_bytes = resident_bytes - self._resident_bytes
        if grown_bytes <= left_bytes and now_s - self._pss_read_s < PSS_S:
            return None
        self._pss_bytes = sum(map(_pss_bytes, self._pids))
        self._resident_bytes, self._pss_read_s = resident_bytes, now_s
        return self._pss_bytes if self._pss_bytes > self.limit_bytes else None


def _resident_bytes(pid: int) -> int:
    try:
        resident_pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):  # the process has ended
        return 0
    return resident_pages * os.sysconf("SC_PAGE_SIZE")


def _pss_bytes(pid: int) -> int:
    """The proportional memory of a process; its resident memory if the kernel does not tell."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except FileNotFoundError:
        return _resident_bytes(pid)
    except OSError:  # the process has ended
        return 0
    return sum(
        int(line.split()[1]) * 1024 for line in lines if line.startswith(("Pss:", "SwapPss:"))
    )


def _status_bytes(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:  # not Linux
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
