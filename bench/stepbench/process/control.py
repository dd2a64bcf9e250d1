"""Messages between the fork server and its parent, one packet each."""

import json
import socket
from typing import Any

from stepbench.process.server import ServerGoneError


def send(control: socket.socket, message: dict[str, Any]) -> None:
    """Sends a message as JSON in one packet."""
    control.send(json.dumps(message).encode())


def receive(control: socket.socket) -> dict[str, Any]:
    """Receives a message.

    Raises:
        ServerGoneError: The peer has closed the connection.
    """
    packet = control.recv(65536)
    if not packet:
        raise ServerGoneError(
            "the fork server has ended: it was killed, or memory ran out. "
            "The results so far are kept; continue with --resume"
        )
    message: dict[str, Any] = json.loads(packet)
    return message
