"""One process per case: a fork server, a deadline, and what became of the child.

A child starts in milliseconds, because it is forked from a *server* that has imported torch and
touched no device. It leads a process group of its own, so that its loader and compile workers end
with it, whatever ends it. The parent blocks on the child and never polls.

Where there is no safe fork (macOS, Windows), `SpawnServer` starts a fresh interpreter per child
behind the same interface.
"""

import contextlib
import ctypes
import gc
import json
import multiprocessing
import multiprocessing.util
import os
import platform
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import psutil

from bench.errors import UnsupportedError, UsageError

LOG_TAIL_BYTES = 8192
"""How much of what a child printed is kept with a failure."""


class ServerGoneError(Exception):
    """The fork server has ended and can start no more children."""


class Status(StrEnum):
    """What became of a case."""

    OK = "ok"
    OOM = "oom"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    ERROR = "error"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True)
class Outcome:
    """What a child came to.

    Attributes:
        status: How it ended.
        result: What its function returned, where `status` is `ok`.
        reason: One sentence with the remedy, where it is not.
        detail: The traceback, or the end of what the child printed.
        usage: Whether the child raised a `UsageError`: a mistake in what was asked for.
        axis: Of an unsupported case, the axis whose value cannot be had.
        start_s: From asking for the child to its first word, seconds.
        elapsed_s: From asking for the child to its end, seconds.
    """

    status: Status
    result: Any = None
    reason: str | None = None
    detail: str | None = None
    usage: bool = False
    axis: str | None = None
    start_s: float | None = None
    elapsed_s: float = 0.0


@dataclass(frozen=True)
class Job:
    """What a child is to do.

    Attributes:
        function: `module:function`, looked up in the child, so that the parent imports nothing.
            Called as `function(report, *arguments)`; `report` takes a few words on what is being
            done and passes them to the parent.
        arguments: Picklable.
        memory_limit_bytes: What the child may allocate for itself; more ends it as `oom`.
    """

    function: str
    arguments: tuple[Any, ...] = ()
    memory_limit_bytes: int | None = None


RunJob = Callable[[Job, float], Outcome]
"""Runs a job in a child of its own, which is given so many seconds more than a case is."""


class Server(Protocol):
    """Starts children."""

    def wait_until_ready(self) -> float | None:
        """Waits until children start fast.

        Returns:
            The seconds that the server's imports took; `None` where there is nothing to import.

        Raises:
                ServerGoneError: An import failed, or the server was killed.
        """
        ...

    def run(self, job: Job, *, deadline_s: float, on_progress: Callable[[str], None]) -> Outcome:
        """Runs a job in a child of its own and waits for its end, at most `deadline_s` seconds."""
        ...

    def close(self) -> None:
        """Ends the server and each child that is still alive."""
        ...


def start_server(
    preload: tuple[str, ...],
    search_path: list[str],
    directory: Path,
    extras: tuple[str, ...] = (),
) -> Server:
    """The server that suits this machine.

    Args:
        preload: Modules that children need; imported once where children are forked.
        search_path: The children's `sys.path`.
        directory: The children's working directory.
        extras: Modules that children will import; the server may, and need not, do so for them.
    """
    if platform.system() == "Linux":
        return ForkServer(preload, search_path, directory, extras=extras)
    return SpawnServer(search_path, directory)


class _Exit(ABC):
    """A child's end: something to wait for, and what it was."""

    pid: int

    @abstractmethod
    def fileno(self) -> int:
        """Readable once the child has ended."""

    @abstractmethod
    def code(self) -> int:
        """Waits for the end: the exit code, or less than 0 for a signal."""

    def kill(self) -> None:
        """Ends the child and all that it started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            child = psutil.Process(self.pid)
            for process in (*child.children(recursive=True), child):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def _follow(
    job: Job,
    connection: "Connection[Any, Any]",
    end: _Exit,
    *,
    log: BinaryIO,
    asked: float,
    deadline_s: float,
    on_progress: Callable[[str], None],
) -> Outcome:
    """Gives a child its job and waits for what becomes of it."""
    start_s: float | None = None
    answer: Outcome | None = None
    kills_before = _oom_kills()
    try:
        with contextlib.suppress(BrokenPipeError):  # died at once: its end tells why
            connection.send(job)
        while answer is None:
            left = asked + deadline_s - time.perf_counter()
            ready = wait([connection, end.fileno()], timeout=max(left, 0))
            if not ready:
                reason = (
                    f"not done after {deadline_s:g} s; raise --deadline, or make the case smaller"
                )
                answer = Outcome(Status.TIMEOUT, reason=reason)
            elif connection in ready:
                try:
                    kind, value = connection.recv()
                except (EOFError, ConnectionResetError):
                    break
                if kind == "started":
                    start_s = time.perf_counter() - asked
                elif kind == "progress":
                    on_progress(value)
                else:
                    answer = value
            else:
                break
    finally:
        # Also on Ctrl-C. After an answer the child has nothing left to do but to clean up.
        unfinished = answer is None or answer.status is Status.TIMEOUT
        if unfinished or not wait([end.fileno()], timeout=10.0):
            end.kill()
        connection.close()
    code = end.code()
    if answer is None:
        answer = _ended_early(code, _oom_kills() > kills_before)
    if answer.status is not Status.OK and answer.detail is None:
        answer = replace(answer, detail=_tail(log))
    return replace(answer, start_s=start_s, elapsed_s=time.perf_counter() - asked)


def _ended_early(code: int, out_of_memory: bool) -> Outcome:
    if code >= 0:
        return Outcome(
            Status.CRASHED, reason=f"its process left with exit code {code} before it was done"
        )
    name = signal.Signals(-code).name
    if out_of_memory and -code == signal.SIGKILL:
        return Outcome(
            Status.OOM,
            reason="the machine ran out of memory and the kernel ended the case; "
            "lower --batch-size or --num-workers",
        )
    return Outcome(
        Status.CRASHED,
        reason=f"its process was ended by {name}; the end of what it printed is kept with the case",
    )


def _oom_kills() -> int:
    """How often this machine's kernel has ended a process for want of memory."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _tail(log: BinaryIO) -> str | None:
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - LOG_TAIL_BYTES))
    return log.read().decode(errors="replace").strip() or None


# --- in the child --------------------------------------------------------------------------------


def _child_main(connection: "Connection[Any, Any]") -> None:
    """The child's whole life: take the job, do it, answer."""
    connection.send(("started", None))
    _make_room_for_user_code()
    job: Job = connection.recv()
    if job.memory_limit_bytes is not None:
        import resource  # noqa: PLC0415  # does not exist on Windows

        resource.setrlimit(resource.RLIMIT_DATA, (job.memory_limit_bytes, job.memory_limit_bytes))

    def report(doing: str) -> None:
        connection.send(("progress", doing))

    connection.send(("answer", _answer(job, report)))


def _make_room_for_user_code() -> None:
    """Finds the user's modules first, also those that are called as parts of stepbench are.

    What stepbench has imported of its own `models` and `reports` it holds by reference.
    """
    for name in list(sys.modules):
        if name.partition(".")[0] in {"models", "reports"}:
            del sys.modules[name]
    sys.path.insert(0, str(Path.cwd()))


def _answer(job: Job, report: Callable[[str], None]) -> Outcome:
    try:
        module, _, name = job.function.partition(":")
        function = getattr(import_module(module), name)
        return Outcome(Status.OK, result=function(report, *job.arguments))
    except UnsupportedError as error:
        return Outcome(Status.UNSUPPORTED, reason=str(error), axis=error.axis)
    except UsageError as error:
        return Outcome(Status.ERROR, reason=str(error), usage=True)
    except BaseException as error:  # noqa: BLE001  # whatever it was, the parent is told
        status, reason = diagnosed(error)
        return Outcome(status, reason=reason, detail=traceback.format_exc())


def diagnosed(error: BaseException) -> tuple[Status, str]:
    """The status and the reason that an exception stands for."""
    said = "".join(traceback.format_exception_only(error)).strip()
    first = said.splitlines()[0]
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"MemoryError", "OutOfMemoryError"} or "allocate memory" in said:
        return Status.OOM, f"out of memory; lower --batch-size or --num-workers ({first})"
    if "DataLoader worker" in said and ("killed by" in said or "exited unexpectedly" in said):
        return (
            Status.CRASHED,
            (
                "a DataLoader worker died; does it run with --num-workers 0, and does its "
                f"shared memory suffice? ({first})"
            ),
        )
    return Status.ERROR, f"it raised {first}"


# --- fork ----------------------------------------------------------------------------------------

_SERVE = (
    "import json, sys; path, number = sys.argv[1:]; sys.path[:] = json.loads(path); "
    "from bench.child import serve; serve(int(number))"
)


class _ForkedExit(_Exit):
    """The end of a child of the fork server, as the server tells it."""

    def __init__(self, control: socket.socket, pid: int) -> None:
        self._control = control
        self.pid = pid

    def fileno(self) -> int:
        return self._control.fileno()

    def code(self) -> int:
        return int(_receive(self._control)["code"])


class ForkServer:
    """A fresh interpreter that imports what children need, and then forks them.

    Imports go on while the caller does other things; the first child waits for them.

    Args:
        preload: Modules that children need.
        search_path: Where it finds modules.
        directory: Where it works.
        python: The interpreter; this one, unless children are to have another environment.
        extras: Modules that it imports as well, where it can.
    """

    def __init__(
        self,
        preload: tuple[str, ...],
        search_path: list[str],
        directory: Path,
        python: str = sys.executable,
        extras: tuple[str, ...] = (),
    ) -> None:
        self._control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            self._process = subprocess.Popen(
                [python, "-P", "-c", _SERVE, json.dumps(search_path), str(far.fileno())],
                pass_fds=(far.fileno(),),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                # Compile workers are started by the child that compiles, not by the import.
                env={**os.environ, "TORCH_WARM_POOL": "0"},
            )
        _send(self._control, {"preload": preload, "extras": extras})
        self._import_s: float | None = None

    def wait_until_ready(self) -> float:
        """Seconds that the imports took; see `Server.wait_until_ready`."""
        if self._import_s is None:
            ready = _receive(self._control)
            if "error" in ready:
                raise ServerGoneError(
                    f"the fork server could not import what it needs\n{ready['error']}"
                )
            self._import_s = float(ready["import_s"])
        return self._import_s

    def run(self, job: Job, *, deadline_s: float, on_progress: Callable[[str], None]) -> Outcome:
        """Runs a job in a forked child; see `Server.run`."""
        self.wait_until_ready()  # the deadline is the case's, not the import's
        asked = time.perf_counter()
        near, far = multiprocessing.Pipe()
        with tempfile.TemporaryFile() as log:
            with far:
                fds = [far.fileno(), log.fileno()]
                socket.send_fds(self._control, [json.dumps({"fork": True}).encode()], fds)
            end = _ForkedExit(self._control, int(_receive(self._control)["pid"]))
            return _follow(
                job,
                near,
                end,
                log=cast("BinaryIO", log),
                asked=asked,
                deadline_s=deadline_s,
                on_progress=on_progress,
            )

    def close(self) -> None:
        """Ends the server; it takes its children along."""
        self._control.close()
        self._process.wait()


def _send(control: socket.socket, message: dict[str, Any]) -> None:
    control.send(json.dumps(message).encode())


def _receive(control: socket.socket) -> dict[str, Any]:
    packet = control.recv(65536)
    if not packet:
        raise ServerGoneError(
            "the fork server has ended; was it killed, or was there no memory left? "
            "What was measured is kept: go on with --resume"
        )
    message: dict[str, Any] = json.loads(packet)
    return message


def serve(number: int) -> None:
    """The fork server's main loop, in its own interpreter.

    Ends when its parent does, however that ended, and ends every child and all that these started.

    Args:
        number: The file descriptor of the control socket.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    control = socket.socket(fileno=number)
    began = time.perf_counter()
    try:
        asked = _receive(control)
        for name in asked["preload"]:
            import_module(name)
        for name in asked["extras"]:
            with contextlib.suppress(Exception):  # not every module can be imported by itself
                import_module(name)
    except BaseException:  # noqa: BLE001  # whatever it was, the parent is told
        _send(control, {"error": traceback.format_exc()})
        return
    gc.collect()
    gc.freeze()  # a collection in a child must not copy every page that holds an imported object
    _send(control, {"import_s": time.perf_counter() - began})
    children: dict[int, int] = {}  # pidfd -> pid
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is control:
                    message, fds = _asked(control)
                    if not message:  # the parent is gone
                        for pid in children.values():
                            _end_group(pid)
                        os._exit(0)  # what was imported need not be taken down piece by piece
                    pid = _fork(fds, control)
                    pidfd = os.pidfd_open(pid)
                    children[pidfd] = pid
                    selector.register(pidfd, selectors.EVENT_READ)
                    _send(control, {"pid": pid})
                else:
                    pidfd = int(key.fd)
                    selector.unregister(pidfd)
                    os.close(pidfd)
                    pid = children.pop(pidfd)
                    _end_group(pid)  # before it is reaped: until then its number is its own
                    _, status = os.waitpid(pid, 0)
                    _send(control, {"code": os.waitstatus_to_exitcode(status)})


def _asked(control: socket.socket) -> tuple[bytes, list[int]]:
    """What the parent asks, with its descriptors; nothing where the parent is gone."""
    try:
        message, fds, _, _ = socket.recv_fds(control, 65536, 2)
    except ConnectionResetError:  # it went and had not read all that it was sent
        return b"", []
    return message, list(fds)


def _end_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _fork(fds: list[int], control: socket.socket) -> int:
    """Forks a child that talks over the first descriptor and prints to the second."""
    server = os.getpid()
    pid = os.fork()
    if pid:
        with contextlib.suppress(PermissionError):
            os.setpgid(pid, pid)  # in both, so that whoever comes first has done it
        for fd in fds:
            os.close(fd)
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        die_with(server)
        control.close()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        connection_fd, log_fd = fds
        os.dup2(log_fd, 1)
        os.dup2(log_fd, 2)
        os.close(log_fd)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")  # rather the case than the parent
        _child_main(Connection(connection_fd))
        code = 0
    except BaseException:  # noqa: BLE001  # a forked child must never return into the server
        traceback.print_exc()
    finally:
        _leave(code)
    raise AssertionError("unreachable")  # pragma: no cover


def _leave(code: int) -> None:
    """Ends a forked child without running the server's own exit handlers twice.

    multiprocessing's part is run: it ends loader workers and removes their queues.
    """
    with contextlib.suppress(BaseException):
        from multiprocessing.util import _exit_function  # type: ignore[attr-defined] # noqa: PLC0415

        _exit_function()
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def die_with(parent: int) -> None:
    """Asks Linux to end this process when its parent ends, even where that was killed.

    The server ends its children itself; this is for the case that the server is killed.

    Args:
        parent: The process's own parent.
    """
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it was asked
        os._exit(1)


# --- spawn ---------------------------------------------------------------------------------------


class _SpawnedExit(_Exit):
    """The end of a child of multiprocessing."""

    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        self._process = process
        self.pid = process.pid or 0

    def fileno(self) -> int:
        return self._process.sentinel

    def code(self) -> int:
        self._process.join()
        return self._process.exitcode or 0


class SpawnServer:
    """A fresh interpreter for each child, where there is no safe fork."""

    def __init__(self, search_path: list[str], directory: Path) -> None:
        self._search_path = search_path
        self._directory = directory

    def wait_until_ready(self) -> None:
        """Each child imports what it needs: there is nothing to wait for."""

    def run(self, job: Job, *, deadline_s: float, on_progress: Callable[[str], None]) -> Outcome:
        """Runs a job in a spawned child; see `Server.run`."""
        asked = time.perf_counter()
        near, far = multiprocessing.Pipe()
        with tempfile.NamedTemporaryFile() as log:
            process = multiprocessing.get_context("spawn").Process(
                target=_spawned, args=(far, log.name, self._search_path, str(self._directory))
            )
            process.start()
            far.close()
            return _follow(
                job,
                near,
                _SpawnedExit(process),
                log=cast("BinaryIO", log),
                asked=asked,
                deadline_s=deadline_s,
                on_progress=on_progress,
            )

    def close(self) -> None:
        """There is no server to end, and each child has ended with its `run`."""


def _spawned(
    connection: "Connection[Any, Any]", log: str, search_path: list[str], directory: str
) -> None:
    sys.path[:] = search_path
    os.chdir(directory)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    _child_main(connection)
