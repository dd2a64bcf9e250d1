"""The interface of a server that starts child processes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType

from stepbench.process.job import Job, Outcome
from stepbench.process.supervision import Child, ExitUnknownError

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
"""The further environment variables of a server that needs none."""


class ServerGoneError(Exception):
    """The fork server has ended and can start no more children."""


class ServerLostError(ServerGoneError, ExitUnknownError):
    """The fork server was killed from outside, and its children with it; another may work.

    Attributes:
        reason: The reason, without a remedy.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}. The results so far are kept; continue with --resume")
        self.reason = reason


class Server(ABC):
    """Starts child processes, one for each job; several may be alive at once."""

    @abstractmethod
    def wait_until_ready(self) -> float | None:
        """Waits until children start fast.

        Returns:
            The seconds that the server's imports took; `None` if the server imports nothing.

        Raises:
            ServerLostError: The server was killed.
            ServerGoneError: An import failed.
        """

    @abstractmethod
    def start(self, job: Job) -> Child:
        """Starts a child that works on a job.

        Raises:
            ServerLostError: The server was killed.
        """

    def run(self, job: Job, *, deadline_s: float, on_progress: Callable[[str], None]) -> Outcome:
        """Runs a job in a new child, which may be silent for at most `deadline_s` seconds.

        Raises:
            ServerLostError: The server was killed.
        """
        with self.start(job) as child:
            return child.outcome(deadline_s, on_progress)

    @abstractmethod
    def restart(self) -> None:
        """Starts the server again after it was lost."""

    @abstractmethod
    def close(self) -> None:
        """Ends the server and each child that is still alive."""
