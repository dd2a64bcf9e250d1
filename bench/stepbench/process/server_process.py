"""The process of a fork server, as its parent sees it: messages, a stop, a kill, the end."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from stepbench.process import control
from stepbench.process.descendants import end_marked, is_stopped
from stepbench.process.server import ServerLostError

MARK = "STEPBENCH_SERVER"
"""The environment variable that marks the server and all its descendants."""
ENDED = "the fork server has ended: it was killed, or memory ran out"
LOOK_S = 1.0
"""The time without a reply after which the parent looks whether the server is stopped, seconds."""
MAX_CONTINUED = 5
"""The number of times that a stopped server is continued before it counts as lost."""
END_S = 30.0
"""The time that the server has to end its children before it is killed, seconds."""


class ServerProcess:
    """The process of a fork server.

    Args:
        command: The command; the number of the control socket's descriptor follows as an argument.
        directory: The working directory.
        environment: The environment variables.
    """

    def __init__(
        self, command: Sequence[str], directory: Path, environment: Mapping[str, str]
    ) -> None:
        self.temporary = tempfile.mkdtemp(prefix="stepbench-")
        self._mark = secrets.token_hex(8)
        self._control, server_end = socket_pair()
        with server_end:
            self._process = subprocess.Popen(
                [*command, str(server_end.fileno())],
                pass_fds=(server_end.fileno(),),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                env={**environment, MARK: self._mark},
            )

    def send(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """Sends a message, and file descriptors with it.

        Raises:
            ServerLostError: The server has ended.
        """
        try:
            control.send(self._control, message, fds)
        except control.PeerGoneError:
            raise ServerLostError(ENDED) from None

    def receive(self, connection: socket.socket | None = None) -> dict[str, Any]:
        """Waits for a message. A server that is stopped is continued.

        Args:
            connection: A connection to the server; `None` for the control socket.

        Raises:
            ServerLostError: The server has ended, or was stopped again and again.
        """
        connection = self._control if connection is None else connection
        continued = 0
        while not wait([connection], timeout=LOOK_S):
            if not is_stopped(self._process.pid):
                continue
            if continued == MAX_CONTINUED:
                self.kill()
                raise ServerLostError("the fork server was stopped again and again")
            os.kill(self._process.pid, signal.SIGCONT)
            continued += 1
        try:
            return control.receive(connection)
        except control.PeerGoneError:
            raise ServerLostError(ENDED) from None

    def kill(self) -> None:
        """Kills the server, in whatever state it is."""
        self._process.kill()

    def end(self) -> None:
        """Ends the server, with all processes that it or its children have started."""
        self._control.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGCONT)  # it may be stopped
        try:
            code = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code != 0:  # it has not ended its children itself
            end_marked(MARK, self._mark)
        shutil.rmtree(self.temporary, ignore_errors=True)


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Makes two connected sockets that keep messages apart."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
