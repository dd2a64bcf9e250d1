"""Starts a run's server again, once, after it was lost."""

from collections.abc import Callable
from typing import TypeVar

from stepbench.process.server import Server, ServerLostError

Result = TypeVar("Result")


class ServerRecovery:
    """Does work that needs a server, and does it again with another one if the server is lost.

    A second loss is not met by luck: the run ends, and can be resumed.

    Args:
        server: The server.
        report: Called with a sentence for the user when the server is started again.
    """

    def __init__(self, server: Server, report: Callable[[str], None]) -> None:
        self._server = server
        self._report = report
        self._restarted = False

    def run(self, work: Callable[[], Result]) -> Result:
        """Does the work.

        Raises:
            ServerLostError: The server is lost for the second time.
        """
        try:
            return work()
        except ServerLostError as error:
            if self._restarted:
                raise
            self._restarted = True
            self._report(f"{error.reason}; it is started again, and what it did then is repeated")
            self._server.restart()
            return work()
