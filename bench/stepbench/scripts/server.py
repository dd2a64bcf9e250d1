"""Starts a fresh Python for each script: nothing of another player or of stepbench is in it."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, BinaryIO, cast

import psutil

from stepbench.process.job import Job
from stepbench.process.messages import RecordMessages
from stepbench.process.server import NO_VARIABLES, Server
from stepbench.process.supervision import EXIT_S, Child, ChildExit, Exit

ENTRY = Path(__file__).resolve().parent / "worker" / "entry.py"
MAX_OUTPUT_BYTES = 64 << 20
"""The most bytes that are kept of each script's output; what it prints beyond is dropped."""
_CHUNK_BYTES = 1 << 16
ENDING_S = 0.3
"""The time that a script has to end by itself before it is killed, seconds."""
ALONE_EXIT_S = 60.0
"""The time that a script by itself has to exit after its last statement, seconds: its threads may
still write a checkpoint."""


@dataclass(frozen=True)
class ScriptPlace:
    """The place in which a script runs.

    Attributes:
        directory: Its working directory.
        output: The file for its output; `None` to let it print to this process's own.
        python: The interpreter that runs it.
        environment: Further environment variables.
    """

    directory: Path
    output: Path | None
    python: Path = Path(sys.executable)
    environment: Mapping[str, str] = field(default_factory=lambda: NO_VARIABLES)


class ScriptServer(Server):
    """Starts scripts in one place.

    Args:
        place: The place.
        child: The class of the scripts' handles.

    Attributes:
        exit_codes: The exit codes of the scripts that have ended by themselves.
    """

    def __init__(self, place: ScriptPlace, child: type[Child] = Child) -> None:
        self._place = place
        self._child = child
        self._exits: list[_ProcessExit] = []

    @property
    def exit_codes(self) -> list[int]:
        """The exit codes of the scripts that ended and were not killed from here, in order."""
        return [each.code for each in self._exits if each.code is not None and not each.killed]

    def wait_until_ready(self) -> None:
        """Returns at once: each script imports what it needs."""

    def start(self, job: Job) -> Child:
        """Starts a fresh Python for a job, whose first argument is a `ScriptRequest`."""
        requested_s = time.perf_counter()
        ours, theirs = socket.socketpair()
        output = self._place.output
        with theirs:
            process = subprocess.Popen(
                [str(self._place.python), str(ENTRY), str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                cwd=self._place.directory,
                stdin=subprocess.DEVNULL,
                stdout=None if output is None else subprocess.PIPE,
                stderr=None if output is None else subprocess.STDOUT,
                env={**os.environ, **self._place.environment},
                process_group=0,
            )
        printing = None
        if output is not None:
            assert process.stdout is not None  # noqa: S101  # it is a pipe
            printing = keep_output(process.stdout, output)
        ended = _ProcessExit(process, printing)
        self._exits.append(ended)
        log = tempfile.TemporaryFile() if output is None else output.open("rb")  # noqa: SIM115  # the child's handle owns it
        return self._child(
            job,
            RecordMessages(Connection(ours.detach())),
            ended,
            log=cast("BinaryIO", log),
            requested_s=requested_s,
            on_left_behind=lambda *_: None,
            exit_s=ALONE_EXIT_S if job.arguments[0].alone else EXIT_S,
        )

    def restart(self) -> None:
        """Does nothing: each script is started anew."""

    def close(self) -> None:
        """Does nothing: each script belongs to its handle, which ends it."""


class _ProcessExit(ChildExit):
    """The end of a process, told by a pipe, since not every system has descriptors of processes.

    Args:
        process: The process, which leads a process group.
        printing: The thread that keeps what the process prints; `None` without one.
    """

    def __init__(
        self, process: "subprocess.Popen[bytes]", printing: threading.Thread | None
    ) -> None:
        self._process = process
        self._printing = printing
        self.pid = process.pid
        self.killed = False
        self.code: int | None = None
        self._ended, end = os.pipe()
        threading.Thread(target=self._wait, args=(end,), name="script-exit", daemon=True).start()

    def _wait(self, end: int) -> None:
        try:
            if hasattr(os, "waitid"):  # its id remains its own until it is reaped
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            else:
                self._process.wait()
        except ChildProcessError:  # the system reaps at once where SIGCHLD is ignored
            pass
        finally:
            os.close(end)

    def fileno(self) -> int:
        return self._ended

    def kill(self) -> None:
        # Its connection has closed, and so it may be just ending.
        self.killed = not wait([self._ended], timeout=ENDING_S)
        super().kill()

    def wait(self) -> Exit:
        wait([self._ended])
        left = _end_group(self.pid)
        code = self.code = self._process.wait()
        os.close(self._ended)
        if self._printing is not None:
            self._printing.join(ENDING_S)
        return Exit(code, left)


def _end_group(group: int) -> dict[str, int]:
    """Kills what is left of a process group, which the script's own processes are in.

    Args:
        group: The process id of the group's leader, which has ended.

    Returns:
        The number of processes of each name that were left.
    """
    left: dict[str, int] = {}
    for process in psutil.process_iter(["name"]):
        try:
            if process.pid != group and os.getpgid(process.pid) == group:
                name = str(process.info["name"])
                process.kill()
                left[name] = left.get(name, 0) + 1
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue
    return left


def keep_output(stream: IO[bytes], file: Path) -> threading.Thread:
    """Writes a stream to a file in a thread of its own, up to `MAX_OUTPUT_BYTES`.

    Returns:
        The thread, which ends with the stream.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    target = file.open("ab", buffering=0)

    def copy() -> None:
        kept, told = file.stat().st_size, False
        with stream, target:
            while chunk := os.read(stream.fileno(), _CHUNK_BYTES):
                with contextlib.suppress(OSError):  # a full disk must not end the script
                    target.write(chunk[: max(0, MAX_OUTPUT_BYTES - kept)])
                kept += len(chunk)
                if kept > MAX_OUTPUT_BYTES and not told:
                    told = True
                    with contextlib.suppress(OSError):
                        target.write(b"\n[stepbench keeps no more of this output]\n")

    thread = threading.Thread(target=copy, name="script-output", daemon=True)
    thread.start()
    return thread
