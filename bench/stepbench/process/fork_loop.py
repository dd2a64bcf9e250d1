"""The fork server itself: its main loop, in an interpreter of its own."""

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from stepbench.process.child import child_main, die_with
from stepbench.process.control import receive, send


def serve(number: int) -> None:
    """Imports what children need, and then forks one whenever the parent asks.

    Ends when its parent does, however that ended, and ends every child and all that these started.

    Args:
        number: The file descriptor of the control socket.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    control = socket.socket(fileno=number)
    if _import_all(control):
        _serve_children(control)


def _import_all(control: socket.socket) -> bool:
    """Imports what the parent asks for, and reports how it went; false where it failed."""
    began = time.perf_counter()
    try:
        asked = receive(control)
        for name in asked["preload"]:
            import_module(name)
        for name in asked["extras"]:
            with contextlib.suppress(Exception):  # not every module can be imported by itself
                import_module(name)
    except BaseException:  # noqa: BLE001  # whatever it was, the parent is told
        send(control, {"error": traceback.format_exc()})
        return False
    gc.collect()
    gc.freeze()  # a collection in a child must not copy every page that holds an imported object
    send(control, {"import_s": time.perf_counter() - began})
    return True


def _serve_children(control: socket.socket) -> NoReturn:
    """Forks a child at each message, and reports the end of each, until the parent is gone."""
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
                    send(control, {"pid": pid})
                else:
                    pidfd = int(key.fd)
                    selector.unregister(pidfd)
                    os.close(pidfd)
                    pid = children.pop(pidfd)
                    _end_group(pid)  # before it is reaped: until then its number is its own
                    _, status = os.waitpid(pid, 0)
                    send(control, {"code": os.waitstatus_to_exitcode(status)})


def _asked(control: socket.socket) -> tuple[bytes, list[int]]:
    """Receives a message and its descriptors from the parent; nothing where the parent is gone."""
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
        child_main(Connection(connection_fd))
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
