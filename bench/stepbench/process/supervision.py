"""Supervises a child from its job to its end: answers, an outcome, silence or a crash.

A deadline is of silence: each message of the child on its progress renews it.
"""

import contextlib
import os
import platform
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, BinaryIO, Self

import psutil

from stepbench.process.job import Job, Outcome
from stepbench.process.memory_watch import LOOK_S, MemoryWatch
from stepbench.process.messages import Messages
from stepbench_reports.schema.status import Status

LOG_TAIL_BYTES = 8192
"""The most bytes from the end of a child's output that are kept with a failure."""
EXIT_S = 10.0
"""The time that a child has to exit after its outcome before it is killed, seconds."""


@dataclass(frozen=True)
class Exit:
    """The exit of a child.

    Attributes:
        code: The exit code, or the negative number of the signal.
        left_behind: The processes that the child had started in process groups of their own and
            that outlived it, so that they were killed: the number of each name.
    """

    code: int
    left_behind: Mapping[str, int] = field(default_factory=dict)


OnLeftBehind = Callable[[Job, Mapping[str, int]], None]
"""Takes a job, and the processes that outlived its child: the number of each name."""


class ExitUnknownError(Exception):
    """The process that knows a child's exit is gone."""


class ChildExit(ABC):
    """A handle with which the parent waits for a child's exit.

    Attributes:
        pid: The child's process id.
    """

    pid: int

    @abstractmethod
    def fileno(self) -> int:
        """Returns a descriptor that is readable once the child has ended."""

    @abstractmethod
    def wait(self) -> Exit:
        """Waits for the end.

        Raises:
            ExitUnknownError: The process that knows the exit is gone, and the child with it.
        """

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
        outcome: The child's outcome, with status `timeout` if it was silent for too long.
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
        on_left_behind: Called at the child's end with the processes that outlived it, if any.
        exit_s: The time that the child has to exit after its outcome before it is killed, seconds.
    """

    def __init__(
        self,
        job: Job,
        connection: Messages,
        child_exit: ChildExit,
        *,
        log: BinaryIO,
        requested_s: float,
        on_left_behind: OnLeftBehind,
        exit_s: float = EXIT_S,
    ) -> None:
        self._on_left_behind = on_left_behind
        self._exit_s = exit_s
        self._job = job
        self._connection = connection
        self._exit = child_exit
        self._log = log
        self._requested_s = requested_s
        self._start_s: float | None = None
        self._outcome: Outcome | None = None
        self._closed = False
        self._kills_before = _oom_kills()
        self._memory = _memory_watch(child_exit.pid, job)
        self._excess: Outcome | None = None
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
            with contextlib.suppress(ExitUnknownError):
                self._end(None)

    def send(self, message: Any) -> None:  # noqa: ANN401  # a job or a command
        """Sends a message; if the child has died, its end says why."""
        self._look_at_memory()  # between turns
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(message)

    def answer(self, deadline_s: float, on_progress: Callable[[str], None]) -> Any:  # noqa: ANN401  # varies
        """Waits for the child's next answer, and returns it.

        Args:
            deadline_s: The longest time without a message of the child, seconds.
            on_progress: Called with each message of the child on its current activity.

        Raises:
            ChildEndedError: The child ended, or was silent for too long and was killed.
            ExitUnknownError: The child ended with the server that started it.
        """
        kind, value = self._message(deadline_s, on_progress)
        if kind == "answer":
            return value
        raise ChildEndedError(self._end(value))

    def outcome(self, deadline_s: float, on_progress: Callable[[str], None]) -> Outcome:
        """Waits for the job's end; a child that is silent for too long is killed.

        Args:
            deadline_s: The longest time without a message of the child, seconds.
            on_progress: Called with each message of the child on its current activity.

        Raises:
            ExitUnknownError: The child ended with the server that started it.
        """
        if self._outcome is None:
            _, value = self._message(deadline_s, on_progress)
            self._end(value)
        assert self._outcome is not None  # noqa: S101  # `_end` sets it
        return self._outcome

    def _message(self, deadline_s: float, on_progress: Callable[[str], None]) -> tuple[str, Any]:
        """Waits for an answer or an outcome; the outcome is `None` if the child just ended."""
        heard_s = time.perf_counter()
        while True:
            if self._excess is not None:
                return "outcome", self._excess
            left_s = max(heard_s + deadline_s - time.perf_counter(), 0)
            wait_s = left_s if self._memory is None else min(left_s, LOOK_S)
            connection = self._connection.fileno()
            ready = wait([connection, self._exit.fileno()], timeout=wait_s)
            if not ready and wait_s < left_s:
                self._look_at_memory()
                continue
            if not ready:
                reason = f"silent for {deadline_s:g} s; raise --deadline or shrink the case"
                return "outcome", Outcome(Status.TIMEOUT, reason=reason)
            if connection not in ready:
                return "outcome", None
            try:
                kind, value = self._connection.recv()
            except (EOFError, ConnectionResetError):
                return "outcome", None
            heard_s = time.perf_counter()
            if kind == "started":
                self._start_s = time.perf_counter() - self._requested_s
            elif kind == "progress":
                on_progress(value)
            else:
                return kind, value

    def _look_at_memory(self) -> None:
        """Notes if the child and its descendants use more memory than they may."""
        excess_bytes = None if self._memory is None else self._memory.excess_bytes()
        if self._memory is not None and excess_bytes is not None:
            self._excess = Outcome(
                Status.OOM,
                reason=f"its processes used {excess_bytes / 1e9:.2f} GB together, more than "
                f"--memory-limit ({self._memory.limit_bytes / 1e9:.2f} GB); lower --batch-size or "
                "--num-workers, or raise the limit",
            )

    def _end(self, outcome: Outcome | None) -> Outcome:
        """Waits for the exit, or kills the child; completes the outcome."""
        self._closed = True
        # After an outcome of its own, the child only has to clean up.
        unfinished = outcome is None or outcome is self._excess or outcome.status is Status.TIMEOUT
        has_ended, interrupt = False, None
        try:
            has_ended = not unfinished and bool(wait([self._exit.fileno()], timeout=self._exit_s))
        except KeyboardInterrupt as error:  # the outcome has come, and is kept
            interrupt = error
        if not has_ended:
            self._exit.kill()
        with contextlib.closing(self._connection), self._log:
            try:
                ended = self._exit.wait()
            except ExitUnknownError:
                if outcome is None:
                    raise
            else:
                outcome = outcome or _crash_outcome(ended.code, _oom_kills() > self._kills_before)
                if ended.left_behind:
                    self._on_left_behind(self._job, ended.left_behind)
            if outcome.status is not Status.OK and outcome.detail is None:
                outcome = replace(outcome, detail=_tail(self._log))
        elapsed_s = time.perf_counter() - self._requested_s
        self._outcome = replace(outcome, start_s=self._start_s, elapsed_s=elapsed_s)
        if interrupt is not None:
            raise interrupt
        return self._outcome


def _memory_watch(pid: int, job: Job) -> MemoryWatch | None:
    """The watch over a child's memory, if the job limits it and the system tells it (Linux)."""
    if job.memory_limit_bytes is None or platform.system() != "Linux":
        return None
    return MemoryWatch(pid, job.memory_limit_bytes)


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
