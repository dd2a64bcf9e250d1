"""The main loop of the fork server, in a separate interpreter."""

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from itertools import groupby
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from stepbench.devices.forking import device_lost_by_forking
from stepbench.process.child import child_main, die_with_parent
from stepbench.process.control import receive, send
from stepbench.process.extras import package_of


def serve(control_fd: int) -> None:
    """Imports the modules that children need, then forks a child at each request of the parent.

    The server ends when the parent ends, in whatever way. It then kills each child, and all
    processes in the child's process group.

    Args:
        control_fd: The file descriptor of the control socket.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    control = socket.socket(fileno=control_fd)
    if _import_all(control):
        _serve_children(control)


def _import_all(control: socket.socket) -> bool:
    """Imports the requested modules and reports the result; returns false if an import failed."""
    began = time.perf_counter()
    try:
        with _devices_counted_without_initialization():
            initialized = _import(receive(control))
    except BaseException:  # noqa: BLE001  # the parent must learn of any failure
        send(control, {"error": traceback.format_exc()})
        return False
    gc.collect()
    gc.freeze()  # a collection in a child must not copy every page that holds an imported object
    send(control, {"import_s": time.perf_counter() - began, "initialized": initialized})
    return True


@contextlib.contextmanager
def _devices_counted_without_initialization() -> Iterator[None]:
    """Has `torch.cuda.is_available` ask NVML, which initializes nothing, while the context lasts.

    Many packages call it when they are imported. Children have the user's variable again.
    """
    name = "PYTORCH_NVML_BASED_CUDA_CHECK"
    users_value = os.environ.get(name)
    os.environ[name] = "1"
    yield
    if users_value is None:
        del os.environ[name]
    else:
        os.environ[name] = users_value


def _import(request: Mapping[str, Any]) -> dict[str, str | None] | None:
    """Imports the requested modules.

    Returns:
        The device that an import has initialized, so that children cannot use the device, and the
        package that did so, if it is one of the extras and was asked for; else `None`.
    """
    for name in request["preload"]:
        import_module(name)
    locates = request["locate"]
    if locates and (device := device_lost_by_forking()):
        return {"device": device, "package": None}
    for package, names in groupby(request["extras"], package_of):
        for name in names:
            with contextlib.suppress(Exception):  # some modules cannot be imported alone
                import_module(name)
        if locates and (device := device_lost_by_forking()):
            return {"device": device, "package": package}
    device = device_lost_by_forking()
    return None if device is None else {"device": device, "package": None}


def _serve_children(control: socket.socket) -> NoReturn:
    """Forks a child at each message and reports each child's exit, until the parent ends."""
    exits: dict[int, socket.socket] = {}  # by pid, the socket that reports the child's exit
    child_ended = _socket_of_ended_children()
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(child_ended, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is control:
                    message, fds = _receive_fork_request(control)
                    if not message:  # the parent has ended
                        for pid in exits:
                            _kill_group(pid)
                        os._exit(0)  # skips the slow teardown of imported modules
                    *child_fds, exit_fd = fds
                    exit_socket = socket.socket(fileno=exit_fd)
                    pid = _fork(child_fds, (control, exit_socket, *exits.values()))
                    exits[pid] = exit_socket
                    send(control, {"pid": pid})
                else:
                    child_ended.recv(4096)  # one byte a signal; signals at once become one
                    for pid in [pid for pid in exits if _has_ended(pid)]:
                        _kill_group(pid)  # before reaping, after which the pid may be reused
                        _, status = os.waitpid(pid, 0)
                        # Nobody may listen any more.
                        with exits.pop(pid) as exit_socket, contextlib.suppress(BrokenPipeError):
                            send(exit_socket, {"code": os.waitstatus_to_exitcode(status)})


def _socket_of_ended_children() -> socket.socket:
    """Makes a socket that is readable once a child has ended.

    Unlike a pidfd, the signal of a child's end exists on every kernel and in every sandbox.
    """
    reader, writer = socket.socketpair()
    for end in (reader, writer):
        end.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # only a handled signal wakes the selector
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})  # a blocked one is inherited
    return reader


def _has_ended(pid: int) -> bool:
    """True if a child has ended; leaves the child to be reaped, so that its pid is not reused."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _receive_fork_request(control: socket.socket) -> tuple[bytes, list[int]]:
    """Receives a message and its descriptors; an empty message if the parent has ended."""
    try:
        message, fds, _, _ = socket.recv_fds(control, 65536, 3)
    except ConnectionResetError:  # the parent ended with unread messages
        return b"", []
    return message, list(fds)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _fork(fds: list[int], server_sockets: Iterable[socket.socket]) -> int:
    """Forks a child that communicates over the first descriptor and prints to the second.

    Args:
        fds: The descriptors of the child's connection and of its log.
        server_sockets: The server's sockets, which the child closes.
    """
    server = os.getpid()
    pid = os.fork()
    if pid:
        with contextlib.suppress(PermissionError):
            os.setpgid(pid, pid)  # in parent and child: either may run first
        for fd in fds:
            os.close(fd)
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        die_with_parent(server)
        for inherited in server_sockets:
            inherited.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        connection_fd, log_fd = fds
        os.dup2(log_fd, 1)
        os.dup2(log_fd, 2)
        os.close(log_fd)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")  # the OOM killer prefers this child
        child_main(Connection(connection_fd))
        code = 0
    except BaseException:  # noqa: BLE001  # a forked child must never return into the server
        traceback.print_exc()
    finally:
        _exit_child(code)
    raise AssertionError("unreachable")  # pragma: no cover


def _exit_child(code: int) -> None:
    """Ends a forked child without running the exit handlers inherited from the server.

    Only the exit handler of multiprocessing runs: it ends loader workers and removes their queues.
    """
    with contextlib.suppress(BaseException):
        from multiprocessing.util import _exit_function  # type: ignore[attr-defined] # noqa: PLC0415

        _exit_function()
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
