"""The memory that players take together."""

import contextlib
from collections.abc import Iterable

import psutil

HOST_SHARE = 0.5
"""The share of the host's free memory that the players of a group may take together."""


def limit_bytes() -> int:
    """The memory that the players of a group may take together, bytes."""
    return int(HOST_SHARE * psutil.virtual_memory().available)


def tree_bytes(pids: Iterable[int]) -> int:
    """The memory of processes and all their descendants, bytes; shared pages count in parts."""
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            for member in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    info = member.memory_full_info()
                    total += getattr(info, "pss", info.uss)
    return total
