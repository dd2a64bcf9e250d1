"""The parent's end of the fork server, a fresh interpreter that imports torch and forks children.

A child starts in milliseconds, because the server has imported torch. The server has not touched a
device, so that forking is safe. Each child leads a process group, so that its loader and compile
workers end with the child, whatever ends it. The parent blocks on the child and never polls.
"""

import contextlib
import json
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, cast

from stepbench.process.extras import Extras
from stepbench.process.job import Job
from stepbench.process.messages import RecordMessages
from stepbench.process.server import NO_VARIABLES, Server, ServerGoneError
from stepbench.process.server_process import ServerProcess, socket_pair
from stepbench.process.supervision import Child, ChildExit, Exit, OnLeftBehind

_SERVE = (
    "import json, sys; path, control_fd = sys.argv[1:]; sys.path[:] = json.loads(path); "
    "from stepbench.process.fork_loop import serve; serve(int(control_fd))"
)


class _ForkedExit(ChildExit):
    """The exit of a forked child, as the fork server reports it on a socket of the child's own."""

    def __init__(self, exit_socket: socket.socket, pid: int, server: ServerProcess) -> None:
        self._socket = exit_socket
        self._server = server
        self.pid = pid

    def fileno(self) -> int:
        return self._socket.fileno()

    def wait(self) -> Exit:
        with self._socket:
            message = self._server.receive(self._socket)
        return Exit(int(message["code"]), message["left_behind"])


class ForkServer(Server):
    """A fresh interpreter that imports what children need, and then forks children.

    The imports run in the background; the first child waits for them.

    Args:
        preload: Modules that children need.
        search_path: The server's `sys.path`.
        directory: The server's working directory.
        python: The interpreter of another environment, with which messages are records instead of
            pickles; `None` for this process's.
        extras: Packages that the server imports too; failures are ignored.
        environment: Environment variables of the server and its children.
        on_left_behind: Called with the processes that outlived a child, and were killed.
    """

    def __init__(
        self,
        preload: tuple[str, ...],
        search_path: list[str],
        directory: Path,
        *,
        python: str | None = None,
        extras: Extras | None = None,
        environment: Mapping[str, str] = NO_VARIABLES,
        on_left_behind: OnLeftBehind = lambda *_: None,
    ) -> None:
        self._on_left_behind = on_left_behind
        self._preload = preload
        self._extras = extras or Extras()
        self._records = python is not None
        self._command = [python or sys.executable, "-P", "-c", _SERVE, json.dumps(search_path)]
        self._directory = directory
        # The child that compiles starts compile workers; the import must not.
        self._environment = {**os.environ, "TORCH_WARM_POOL": "0", **environment}
        self._import_s: float | None = None
        self._start(locate=False)

    def _start(self, *, locate: bool) -> None:
        """Starts the server's process, which begins to import.

        Args:
            locate: True tells which of the extras initializes a device; it takes longer.
        """
        self._process = ServerProcess(self._command, self._directory, self._environment)
        extras = self._extras.names
        self._process.send(
            {
                "preload": self._preload,
                "extras": extras,
                "locate": locate,
                "temporary": self._process.temporary,
            }
        )
        self._may_locate = bool(extras) and not locate

    def wait_until_ready(self) -> float:
        """Waits for the imports; see `Server.wait_until_ready`."""
        while self._import_s is None:
            imported = self._process.receive()
            if "error" in imported:
                raise ServerGoneError(
                    f"the fork server could not import its modules:\n{imported['error']}"
                )
            if imported["initialized"] is None:
                self._import_s = float(imported["import_s"])
            else:
                self._start_without(**imported["initialized"])
        return self._import_s

    def _start_without(self, device: str, package: str | None) -> None:
        """Starts another process in place of one that has initialized a device.

        Args:
            device: The kind of the device.
            package: The one of the extras that has initialized the device; `None` if unknown.

        Raises:
            ServerGoneError: None of the extras, but the modules that children need are the reason.
        """
        self.close()
        if package is not None:
            self._extras.leave_out(package, device)
        elif not self._may_locate:
            raise ServerGoneError(
                f"importing torch and stepbench's modules initializes {device}, and the processes "
                f"that stepbench forks cannot use it then. Look for a plugin of torch (try "
                f"TORCH_DEVICE_BACKEND_AUTOLOAD=0), a sitecustomize module or a .pth file of this "
                f"environment that uses {device}, and remove it"
            )
        self._start(locate=package is None)

    def start(self, job: Job) -> Child:
        """Forks a child for a job; see `Server.start`."""
        self.wait_until_ready()  # deadlines do not include the imports
        requested_s = time.perf_counter()
        parent_end, child_end = multiprocessing.Pipe()
        exit_parent_end, exit_server_end = socket_pair()
        log = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115  # the child's handle owns it
        with contextlib.ExitStack() as unused:
            for owned in (parent_end, exit_parent_end, log):
                unused.enter_context(owned)
            with child_end, exit_server_end:
                fds = (child_end.fileno(), log.fileno(), exit_server_end.fileno())
                self._process.send({"records": self._records}, fds)
            pid = int(self._process.receive()["pid"])
            unused.pop_all()
        child_exit = _ForkedExit(exit_parent_end, pid, self._process)
        return Child(
            job,
            RecordMessages(parent_end) if self._records else parent_end,
            child_exit,
            log=log,
            requested_s=requested_s,
            on_left_behind=self._on_left_behind,
        )

    def restart(self) -> None:
        """Starts another process in place of one that was lost; see `Server.restart`."""
        self.close()
        self._import_s = None
        self._start(locate=False)

    def close(self) -> None:
        """Ends the server, which ends its children."""
        if self._import_s is None:  # it has no children, and may import for long
            self._process.kill()
        self._process.end()
