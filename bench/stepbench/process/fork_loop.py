"""The main loop of the fork server, in a separate interpreter."""

import contextlib
import gc
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib import import_module
from itertools import groupby
from multiprocessing.connection import Connection
from multiprocessing.process import current_process
from pathlib import Path
from typing import Any, NoReturn

from stepbench.devices.forking import device_lost_by_forking
from stepbench.process.child import child_main, die_with_parent
from stepbench.process.control import PeerGoneError, receive, send
from stepbench.process.descendants import (
    become_subreaper,
    children,
    count_by_name,
    end_children,
    remove_shared_memory,
    signal_at_end_of_parent,
)
from stepbench.process.extras import package_of
from stepbench.process.messages import RecordMessages

PARENTS_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that the parent handles, also those that a terminal sends to all processes."""


def serve(control_fd: int) -> NoReturn:
    """Imports the modules that children need, then forks a child at each request of the parent.

    The server ends when the parent ends, in whatever way. It then kills each child, and all
    processes that the child has started.

    Args:
        control_fd: The file descriptor of the control socket.
    """
    for number in PARENTS_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal_at_end_of_parent(signal.SIGCONT)  # a server that is stopped would not see the end
    become_subreaper()
    control = socket.socket(fileno=control_fd)
    with contextlib.suppress(PeerGoneError):  # the parent may end at any time
        request = receive(control)
        try:
            if _import_all(control, request):
                _serve_children(control, request["temporary"])
        finally:
            remove_shared_memory(entry.pid for entry in end_children(()))
            shutil.rmtree(request["temporary"], ignore_errors=True)
    os._exit(0)  # skips the slow teardown of imported modules


def _import_all(control: socket.socket, request: Mapping[str, Any]) -> bool:
    """Imports the requested modules and reports the result; returns false if an import failed."""
    began = time.perf_counter()
    try:
        with _devices_counted_without_initialization():
            initialized = _import(request)
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


def _serve_children(control: socket.socket, temporary: str) -> NoReturn:
    """Forks a child at each message and reports each child's exit, until the parent ends.

    Args:
        control: The control socket.
        temporary: The directory of the children's temporary files.

    Raises:
        PeerGoneError: The parent has ended.
    """
    exits: dict[int, socket.socket] = {}  # by pid, the socket that reports the child's exit
    started_by_imports = {entry.pid for entry in children()}
    child_ended = _socket_of_ended_children()
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(child_ended, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is control:
                    records, (*child_fds, exit_fd) = _receive_fork_request(control)
                    exit_socket = socket.socket(fileno=exit_fd)
                    sockets = (control, exit_socket, *exits.values())
                    pid = _fork(child_fds, sockets, temporary, records=records)
                    exits[pid] = exit_socket
                    send(control, {"pid": pid})
                else:
                    child_ended.recv(4096)  # one byte a signal; signals at once become one
                    for pid in [pid for pid in exits if _has_ended(pid)]:
                        message = _end_child(pid, {*exits, *started_by_imports})
                        # Nobody may listen any more.
                        with exits.pop(pid) as exit_socket, contextlib.suppress(PeerGoneError):
                            send(exit_socket, message)


def _end_child(pid: int, spared: Collection[int]) -> dict[str, Any]:
    """Kills what a child that has ended has left behind, and reaps the child.

    Args:
        pid: The child's process id.
        spared: The process ids of all children that the server has forked.

    Returns:
        The message on the child's exit.
    """
    _kill_group(pid)  # before reaping, after which the pid may be reused
    orphans = end_children(spared)
    remove_shared_memory([pid, *(orphan.pid for orphan in orphans)])
    _, status = os.waitpid(pid, 0)
    left_behind = [o for o in orphans if o.group != pid and not o.has_ended]
    return {"code": os.waitstatus_to_exitcode(status), "left_behind": count_by_name(left_behind)}


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


def _receive_fork_request(control: socket.socket) -> tuple[bool, list[int]]:
    """Receives a message; returns true if a child's messages are records, and the descriptors.

    Raises:
        PeerGoneError: The parent has ended.
    """
    try:
        message, fds, _, _ = socket.recv_fds(control, 65536, 3)
    except ConnectionResetError:  # the parent ended with unread messages
        message = b""
    if not message:
        raise PeerGoneError
    return bool(json.loads(message)["records"]), list(fds)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _fork(
    fds: list[int], server_sockets: Iterable[socket.socket], temporary: str, *, records: bool
) -> int:
    """Forks a child that communicates over the first descriptor and prints to the second.

    Args:
        fds: The descriptors of the child's connection and of its log.
        server_sockets: The server's sockets, which the child closes.
        temporary: The directory of multiprocessing's temporary files; a child that is killed
            cannot remove them itself.
        records: True if the parent is another interpreter, with which messages are records.
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
        become_subreaper()
        current_process()._config["tempdir"] = temporary  # type: ignore[attr-defined]
        for inherited in server_sockets:
            inherited.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in PARENTS_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        connection_fd, log_fd = fds
        os.dup2(log_fd, 1)
        os.dup2(log_fd, 2)
        os.close(log_fd)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")  # the OOM killer prefers this child
        connection: Connection[Any, Any] = Connection(connection_fd)
        child_main(RecordMessages(connection) if records else connection)
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
