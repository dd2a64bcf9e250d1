"""Messages between the fork server and its parent, one packet each."""

import json
import socket
from typing import Any


class PeerGoneError(Exception):
    """The process at the other end of the connection has closed it, or has ended."""


def send(control: socket.socket, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
    """Sends a message as JSON in one packet.

    Args:
        control: The connection.
        message: The message.
        fds: File descriptors that the peer receives with the message.

    Raises:
        PeerGoneError: The peer has closed the connection.
    """
    try:
        socket.send_fds(control, [json.dumps(message).encode()], fds)
    except (BrokenPipeError, ConnectionResetError):
        raise PeerGoneError from None


def receive(control: socket.socket) -> dict[str, Any]:
    """Receives a message.

    Raises:
        PeerGoneError: The peer has closed the connection.
    """
    try:
        packet = control.recv(65536)
    except ConnectionResetError:  # the peer ended with unread messages
        packet = b""
    if not packet:
        raise PeerGoneError
    message: dict[str, Any] = json.loads(packet)
    return message
