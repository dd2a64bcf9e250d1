"""The interface of a server that starts child processes."""

from collections.abc import Callable
from typing import Protocol

from stepbench.process.job import Job, Outcome


class ServerGoneError(Exception):
    """The fork server has ended and can start no more children."""


class Server(Protocol):
    """Starts child processes, a job each."""

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
