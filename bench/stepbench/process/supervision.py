"""Supervises a child from its job to its end: an outcome, a deadline or a crash."""

import contextlib
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from stepbench.process.job import Job, Outcome
from stepbench_reports.schema.status import Status

LOG_TAIL_BYTES = 8192
"""The most bytes from the end of a child's output that are kept with a failure."""


class ChildExit(ABC):
    """A handle with which the parent waits for a child's exit, and reads its exit code.

    Attributes:
        pid: The child's process id.
    """

    pid: int

    @abstractmethod
    def fileno(self) -> int:
        """Returns a descriptor that is readable once the child has ended."""

    @abstractmethod
    def code(self) -> int:
        """Waits for the end; returns the exit code, or the negative number of the signal."""

    def kill(self) -> None:
        """Kills the child and all its descendants."""
        with contextlib.suppress(psutil.NoSuchProcess):
            child = psutil.Process(self.pid)
            for process in (*child.children(recursive=True), child):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def supervise(
    job: Job,
    connection: "Connection[Any, Any]",
    child_exit: ChildExit,
    *,
    log: BinaryIO,
    requested_s: float,
    deadline_s: float,
    on_progress: Callable[[str], None],
) -> Outcome:
    """Gives a child its job and waits for the outcome.

    Args:
        job: The job of the child.
        connection: The connection to the child.
        child_exit: The end of the child.
        log: The file that the child prints to.
        requested_s: The time of the request for the child, by `time.perf_counter`, seconds.
        deadline_s: The time that the child may take from `requested_s` on, seconds.
        on_progress: Called with each message of the child on its current activity.
    """
    start_s: float | None = None
    outcome: Outcome | None = None
    kills_before = _oom_kills()
    try:
        with contextlib.suppress(BrokenPipeError):  # the child died at once; its exit code says why
            connection.send(job)
        while outcome is None:
            left_s = requested_s + deadline_s - time.perf_counter()
            ready = wait([connection, child_exit.fileno()], timeout=max(left_s, 0))
            if not ready:
                reason = f"not finished after {deadline_s:g} s; raise --deadline or shrink the case"
                outcome = Outcome(Status.TIMEOUT, reason=reason)
            elif connection in ready:
                try:
                    kind, value = connection.recv()
                except (EOFError, ConnectionResetError):
                    break
                if kind == "started":
                    start_s = time.perf_counter() - requested_s
                elif kind == "progress":
                    on_progress(value)
                else:
                    outcome = value
            else:
                break
    finally:
        # Also runs on Ctrl-C. After an outcome, the child only has to clean up.
        unfinished = outcome is None or outcome.status is Status.TIMEOUT
        if unfinished or not wait([child_exit.fileno()], timeout=10.0):
            child_exit.kill()
        connection.close()
    code = child_exit.code()
    if outcome is None:
        outcome = _crash_outcome(code, _oom_kills() > kills_before)
    if outcome.status is not Status.OK and outcome.detail is None:
        outcome = replace(outcome, detail=_tail(log))
    return replace(outcome, start_s=start_s, elapsed_s=time.perf_counter() - requested_s)


def _crash_outcome(code: int, out_of_memory: bool) -> Outcome:
    if code >= 0:
        return Outcome(Status.CRASHED, reason=f"its process ended early, with exit code {code}")
    name = signal.Signals(-code).name
    if out_of_memory and -code == signal.SIGKILL:
        return Outcome(
            Status.OOM,
            reason="the machine ran out of memory, and the kernel killed the process; "
            "lower --batch-size or --num-workers",
        )
    return Outcome(
        Status.CRASHED,
        reason=f"its process was killed by {name}; the end of its output is kept with the case",
    )


def _oom_kills() -> int:
    """Counts the processes that this machine's kernel has killed because memory ran out."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _tail(log: BinaryIO) -> str | None:
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - LOG_TAIL_BYTES))
    return log.read().decode(errors="replace").strip() or None
