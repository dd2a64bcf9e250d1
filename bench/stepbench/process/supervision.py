"""Supervises a child from its job to its end: answers, an outcome, a deadline or a crash."""

import contextlib
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, BinaryIO, Self

import psutil

from stepbench.process.job import Job, Outcome
from stepbench_reports.schema.status import Status

LOG_TAIL_BYTES = 8192
"""The most bytes from the end of a child's output that are kept with a failure."""
EXIT_S = 10.0
"""The time that a child has to exit after its outcome before it is killed, seconds."""


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


class ChildEndedError(Exception):
    """A child ended where an answer was expected.

    Attributes:
        outcome: The child's outcome, with status `timeout` if the deadline of the answer passed.
    """

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason or str(outcome.status))
        self.outcome = outcome


class Child:
    """A child that is working on its job. As a context manager, it kills the child at the exit.

    Args:
        job: The job, which is sent at once.
        connection: The connection to the child.
        child_exit: The handle on the child's exit.
        log: The file that the child prints to.
        requested_s: The time of the request for the child, by `time.perf_counter`, seconds.
    """

    def __init__(
        self,
        job: Job,
        connection: "Connection[Any, Any]",
        child_exit: ChildExit,
        *,
        log: BinaryIO,
        requested_s: float,
    ) -> None:
        self._connection = connection
        self._exit = child_exit
        self._log = log
        self._requested_s = requested_s
        self._start_s: float | None = None
        self._outcome: Outcome | None = None
        self._closed = False
        self._kills_before = _oom_kills()
        self.send(job)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._exit.pid

    @property
    def start_s(self) -> float | None:
        """The time from the request for the child to its first message, seconds, once it came."""
        return self._start_s

    def __enter__(self) -> Self:
        """Enters a context at whose end the child is gone."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kills the child if its end was not waited for."""
        if not self._closed:
            self._end(None)

    def send(self, message: Any) -> None:  # noqa: ANN401  # a job or a command
        """Sends a message; if the child has died, its end says why."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(message)

    def answer(self, deadline_s: float, on_progress: Callable[[str], None]) -> Any:  # noqa: ANN401  # varies
        """Waits at most `deadline_s` seconds for the child's next answer, and returns it.

        Args:
            deadline_s: The time that the answer may take from now on, seconds.
            on_progress: Called with each message of the child on its current activity.

        Raises:
            ChildEndedError: The child ended, or the time is up and the child was killed.
        """
        kind, value = self._message(time.perf_counter(), deadline_s, on_progress)
        if kind == "answer":
            return value
        raise ChildEndedError(self._end(value))

    def outcome(
        self,
        deadline_s: float,
        on_progress: Callable[[str], None],
        *,
        since_s: float | None = None,
    ) -> Outcome:
        """Waits at most `deadline_s` seconds for the job's end.

        Args:
            deadline_s: The time that the job may take, seconds.
            on_progress: Called with each message of the child on its current activity.
            since_s: The begin of that time by `time.perf_counter`; `None` for the request for the
                child.
        """
        if self._outcome is None:
            began_s = self._requested_s if since_s is None else since_s
            _, value = self._message(began_s, deadline_s, on_progress)
            self._end(value)
        assert self._outcome is not None  # noqa: S101  # `_end` sets it
        return self._outcome

    def _message(
        self, since_s: float, deadline_s: float, on_progress: Callable[[str], None]
    ) -> tuple[str, Any]:
        """Waits for an answer or an outcome; the outcome is `None` if the child just ended."""
        while True:
            left_s = since_s + deadline_s - time.perf_counter()
            ready = wait([self._connection, self._exit.fileno()], timeout=max(left_s, 0))
            if not ready:
                reason = f"not finished after {deadline_s:g} s; raise --deadline or shrink the case"
                return "outcome", Outcome(Status.TIMEOUT, reason=reason)
            if self._connection not in ready:
                return "outcome", None
            try:
                kind, value = self._connection.recv()
            except (EOFError, ConnectionResetError):
                return "outcome", None
            if kind == "started":
                self._start_s = time.perf_counter() - self._requested_s
            elif kind == "progress":
                on_progress(value)
            else:
                return kind, value

    def _end(self, outcome: Outcome | None) -> Outcome:
        """Waits for the exit, or kills the child; completes the outcome."""
        self._closed = True
        # After an outcome of its own, the child only has to clean up.
        unfinished = outcome is None or outcome.status is Status.TIMEOUT
        if unfinished or not wait([self._exit.fileno()], timeout=EXIT_S):
            self._exit.kill()
        with self._connection, self._log:
            code = self._exit.code()
            if outcome is None:
                outcome = _crash_outcome(code, _oom_kills() > self._kills_before)
            if outcome.status is not Status.OK and outcome.detail is None:
                outcome = replace(outcome, detail=_tail(self._log))
        elapsed_s = time.perf_counter() - self._requested_s
        self._outcome = replace(outcome, start_s=self._start_s, elapsed_s=elapsed_s)
        return self._outcome


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
