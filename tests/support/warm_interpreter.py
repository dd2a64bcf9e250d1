"""An interpreter that has imported modules, and is forked for each command that it is asked to run.

Imports nothing of stepbench by itself: the modules come from its command line.
"""

import atexit
import contextlib
import fcntl
import gc
import json
import os
import resource
import runpy
import signal
import socket
import sys
import threading
import traceback
from importlib import import_module
from types import ModuleType
from typing import Any

MESSAGE_BYTES = 2**20
MOST_DESCRIPTORS = 16
ABOVE = 512
"""Descriptors are kept above this number while those below it are closed."""


def serve(number: int, modules: list[str]) -> None:
    """Imports modules, and then forks for each connection until the process is ended.

    Args:
        number: The descriptor of a listening socket.
        modules: The modules to import.
    """
    listener = socket.socket(fileno=number)
    for name in modules:
        import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # attendants are reaped by the system
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.detach()
            _attend(connection)
        connection.close()


def _attend(connection: socket.socket) -> None:
    """Forks the process that was asked for, and tells its id and its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, descriptors, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, MOST_DESCRIPTORS)
    if not message:
        os._exit(0)
    child = os.fork()
    if child == 0:
        _live(json.loads(message), list(descriptors))
    with contextlib.suppress(OSError):  # whoever asked may be gone
        connection.send(str(child).encode())
    for descriptor in descriptors:
        os.close(descriptor)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _live(request: dict[str, Any], descriptors: list[int]) -> None:
    """Becomes the interpreter that was asked for; never returns."""
    code = 1
    try:
        os.setsid()
        _take(descriptors, request["numbers"])
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        if request["servers"] is not None:
            import_module("support.warm").fork_servers_from(request["servers"])
        for name in [name for name in sys.modules if name.partition(".")[0] == "support"]:
            del sys.modules[name]  # the command may have a module of this name
        code = _run(request["command"], request["path"])
    except BaseException:  # noqa: BLE001  # as an interpreter does
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]  # as an interpreter does at its end
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _take(descriptors: list[int], numbers: list[int]) -> None:
    """Gives descriptors the numbers that they are to have, and closes all others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft <= ABOVE + MOST_DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, ABOVE) for each in descriptors]
    os.closerange(3, ABOVE)
    for each, number in zip(high, numbers, strict=True):
        os.dup2(each, number)
        os.close(each)


def _run(command: list[str], path: list[str]) -> int:
    """Runs `-c CODE` or `-m MODULE` with arguments, as an interpreter does; the exit code."""
    how, what, *arguments = [word for word in command[1:] if word != "-P"]
    at_front = [os.getcwd() if how == "-m" else ""] if "-P" not in command else []  # noqa: PTH109
    added = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:] = [*at_front, *added, *path]
    sys.argv[:] = [how, *arguments]
    try:
        if how == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            main = ModuleType("__main__")
            sys.modules["__main__"] = main
            exec(compile(what, "<string>", "exec"), vars(main))  # noqa: S102  # as -c does
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    return 0
