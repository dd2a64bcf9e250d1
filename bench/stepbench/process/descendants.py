"""Ends the processes that outlive the process that started them (Linux).

A process that becomes a subreaper adopts each orphan among its descendants, also one that leads a
session of its own. Where the subreaper itself was killed, an environment variable that all
descendants inherit tells them from other processes.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # where Linux has it
MAX_PASSES = 100
"""The most times that descendants are looked for: each that is killed may have started another."""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


@dataclass(frozen=True)
class Entry:
    """A process, as `/proc` lists it.

    Attributes:
        pid: The process id.
        name: The name of the program, at most 15 characters.
        parent: The process id of its parent.
        group: Its process group.
        has_ended: True if it waits to be reaped.
    """

    pid: int
    name: str
    parent: int
    group: int
    has_ended: bool


def become_subreaper() -> None:
    """Has this process adopt the orphans among its descendants."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def signal_at_end_of_parent(number: signal.Signals) -> None:
    """Has this process receive a signal when its parent ends, even if the parent is killed.

    Does nothing on other systems than Linux.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def children() -> list[Entry]:
    """The children of this process, with those that it has adopted."""
    own = os.getpid()
    return [entry for entry in _processes() if entry.parent == own]


def tree(pid: int) -> list[int]:
    """The process ids of a process and all its descendants."""
    by_parent: dict[int, list[int]] = {}
    for entry in _processes():
        by_parent.setdefault(entry.parent, []).append(entry.pid)
    found = [pid]
    for member in found:  # grows meanwhile
        found += by_parent.get(member, [])
    return found


def end_children(spared: Collection[int]) -> list[Entry]:
    """Kills and reaps the children of this process, and all their descendants.

    Args:
        spared: The process ids of the children to leave alone, with their descendants.

    Returns:
        The processes that had not ended by themselves, and those that had and were not reaped.
    """
    ended: dict[int, Entry] = {}
    for _ in range(MAX_PASSES):  # the children of a killed process are adopted
        orphans = [entry for entry in children() if entry.pid not in spared]
        if not orphans:
            break
        for orphan in orphans:
            ended[orphan.pid] = orphan
            _kill(orphan.pid)
        for orphan in orphans:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(orphan.pid, 0)
    return list(ended.values())


def end_marked(variable: str, value: str) -> None:
    """Kills each process that was executed with a value of an environment variable."""
    mark = f"{variable}={value}".encode()
    for _ in range(MAX_PASSES):
        marked = [entry.pid for entry in _processes() if mark in _environment(entry.pid)]
        if not marked:
            break
        for pid in marked:
            _kill(pid)


def is_stopped(pid: int) -> bool:
    """True if a process is stopped, as by SIGSTOP."""
    fields = _status(pid)
    return fields is not None and fields[1] == "T"


def count_by_name(entries: Iterable[Entry]) -> Mapping[str, int]:
    """The number of processes of each name."""
    return Counter(entry.name for entry in entries)


def remove_shared_memory(pids: Iterable[int]) -> None:
    """Removes the files with which torch shared memory between processes that have ended."""
    for pid in pids:
        for file in SHARED_MEMORY.glob(f"torch_{pid}_*"):
            with contextlib.suppress(OSError):
                file.unlink()


def _processes() -> Iterator[Entry]:
    for directory in os.listdir("/proc"):  # noqa: PTH208  # names only, and much faster
        if not directory.isdecimal():
            continue
        fields = _status(int(directory))
        if fields is not None:
            name, state, parent, group = fields
            yield Entry(int(directory), name, int(parent), int(group), state in "ZX")


def _status(pid: int) -> tuple[str, str, str, str] | None:
    """The name, state, parent and process group of a process; `None` if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    before, _, after = text.rpartition(")")  # a name may hold parentheses and spaces
    state, parent, group, *_ = after.split()
    return before.partition("(")[2], state, parent, group


def _environment(pid: int) -> list[bytes]:
    """The variables with which a process was executed; none if they cannot be read."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)
