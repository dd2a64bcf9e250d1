"""An interpreter that imports modules once, and forks for each command that it is asked to run.

This file imports nothing of stepbench: the modules come from the command line.
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
MAX_DESCRIPTORS = 16
MIN_TEMPORARY = 512
"""Received descriptors are moved to this number and above, while those below it are closed."""


def serve(number: int, modules: list[str]) -> None:
    """Imports modules, and then forks for each connection until the process is killed.

    Args:
        number: The descriptor of a listening socket.
        modules: The modules to import.
    """
    listener = socket.socket(fileno=number)
    for name in modules:
        import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps the handlers
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.detach()
            _handle(connection)
        connection.close()


def _handle(connection: socket.socket) -> None:
    """Forks the requested process, and sends its id and then its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    message, descriptors, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, MAX_DESCRIPTORS)
    if not message:
        os._exit(0)
    child = os.fork()
    if child == 0:
        _run_request(json.loads(message), list(descriptors))
    with contextlib.suppress(OSError):  # the client may have ended
        connection.send(str(child).encode())
    for descriptor in descriptors:
        os.close(descriptor)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _run_request(request: dict[str, Any], descriptors: list[int]) -> None:
    """Runs the requested command in this process; never returns."""
    code = 1
    try:
        os.setsid()
        _renumber(descriptors, request["numbers"])
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


def _renumber(descriptors: list[int], numbers: list[int]) -> None:
    """Gives descriptors the requested numbers, and closes all others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft <= MIN_TEMPORARY + MAX_DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    temporary = [fcntl.fcntl(d, fcntl.F_DUPFD_CLOEXEC, MIN_TEMPORARY) for d in descriptors]
    os.closerange(3, MIN_TEMPORARY)
    for descriptor, number in zip(temporary, numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)


def _run(command: list[str], path: list[str]) -> int:
    """Runs `-c CODE` or `-m MODULE` with arguments, as an interpreter does; returns the code."""
    option, value, *arguments = [word for word in command[1:] if word != "-P"]
    at_front = [os.getcwd() if option == "-m" else ""] if "-P" not in command else []  # noqa: PTH109
    added = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [*at_front, *added, *path]
    sys.argv[:] = [option, *arguments]
    try:
        if option == "-m":
            runpy.run_module(value, run_name="__main__", alter_sys=True)
        else:
            main = ModuleType("__main__")
            sys.modules["__main__"] = main
            exec(compile(value, "<string>", "exec"), vars(main))  # noqa: S102  # as -c does
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    return 0
