"""The servers from which the sides of pairs are forked.

What is fixed when a process starts, such as the addresses of libraries, is the same for both sides
of a pair, and differs from server to server. Servers take rounds of pairs in rotation, so that a
server's pairs are spread over the check. Where base has an environment of its own, each side has a
server.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stepbench.config.case import Case
from stepbench.process.job import Job
from stepbench.process.server import Server
from stepbench.regression.comparison import Comparison
from stepbench.regression.pair import PlayedPair, take_pair, take_pair_apart
from stepbench.scheduling.player import Limits, Player
from stepbench_reports.schema.check import SideEnd, SideName

SERVERS = 3
"""The number of servers that are alive at once."""
ROUNDS_PER_SERVER = 4
"""The most rounds of pairs that a server takes, after which another one takes its place."""
PRELOAD = ("stepbench.regression.worker.side",)
"""The modules that each server imports."""
PLAY = "stepbench.regression.worker.side:play"


@contextlib.contextmanager
def opened(
    comparison: Comparison, cases: Sequence[Case], first_number: int = 1
) -> Iterator["ServerPool"]:
    """Starts servers, which import in the background, and closes them at the context's end.

    Args:
        comparison: Both sides, the cases and the directory.
        cases: The cases whose pairs are taken.
        first_number: The number of the first server in the check.
    """
    pool = ServerPool(comparison, cases, first_number)
    try:
        yield pool
    finally:
        pool.close()


@dataclass
class PairServer:
    """A server of pairs.

    Attributes:
        number: The server's number in the check.
        servers: The process of each side; the same one if both sides share an environment.
        rounds: The number of rounds that it has taken.
    """

    number: int
    servers: Mapping[SideName, Server]
    rounds: int = 0

    def wait_until_ready(self) -> None:
        """Waits for the imports.

        Raises:
            ServerGoneError: A process could not import its modules.
        """
        for server in self.servers.values():
            server.wait_until_ready()

    def close(self) -> None:
        """Ends the processes."""
        for server in {id(server): server for server in self.servers.values()}.values():
            server.close()


class ServerPool:
    """Servers of pairs, in rotation.

    Args:
        comparison: Both sides, the cases and the directory.
        cases: The cases whose pairs are taken.
        first_number: The number of the first server in the check.

    Attributes:
        import_s: The time in which pairs waited for imports, seconds.
    """

    def __init__(self, comparison: Comparison, cases: Sequence[Case], first_number: int) -> None:
        self._comparison = comparison
        self._cases = cases
        self._next_number = first_number
        self.import_s = 0.0
        self._servers: deque[PairServer] = deque()
        for _ in range(SERVERS):
            self._servers.append(self._start())

    def _start(self) -> PairServer:
        comparison = self._comparison
        head = comparison.server("head", PRELOAD, self._cases)
        base = (
            comparison.server("base", PRELOAD, self._cases)
            if comparison.sides.two_environments
            else head
        )
        self._next_number += 1
        return PairServer(self._next_number - 1, {"base": base, "head": head})

    def next(self, *, fresh: bool = False) -> PairServer:
        """The server of the next round, once it is ready.

        Args:
            fresh: True takes a server that has not yet taken a pair.

        Raises:
            ServerGoneError: A server could not import its modules.
        """
        most = 1 if fresh else ROUNDS_PER_SERVER
        if self._servers[0].rounds >= most:  # those that are due soon import at the same time
            for index, due in enumerate(self._servers):
                if due.rounds >= most:
                    self._servers[index] = self._start()
                    due.close()
            self.wait_until_ready()
        server = self._servers.popleft()
        self._servers.append(server)
        server.rounds += 1
        return server

    def wait_until_ready(self) -> None:
        """Waits for the imports of all servers, which would disturb pairs.

        Raises:
            ServerGoneError: A server could not import its modules.
        """
        began_s = time.monotonic()
        for server in self._servers:
            server.wait_until_ready()
        self.import_s += time.monotonic() - began_s

    def close(self) -> None:
        """Ends all servers."""
        for server in self._servers:
            server.close()


def pair(
    comparison: Comparison,
    server: PairServer,
    case: Case,
    on_progress: Callable[[str], None],
    *,
    together: bool = True,
) -> PlayedPair:
    """Takes a pair of a case, whose sides are forked from a server.

    Args:
        comparison: Both sides, the cases and the directory.
        server: The server.
        case: The case.
        on_progress: Called with a few words on the current activity.
        together: True if the sides are alive at once.
    """
    limits = comparison.options.run

    def start(side: SideName) -> Player[SideEnd]:
        job = Job(PLAY, (comparison.side_request(side, case),), limits.memory_limit_bytes)
        return Player(server.servers[side], job, Limits(limits.deadline_s, on_progress))

    take = take_pair if together else take_pair_apart
    return take(start, comparison.options.turns, on_progress)
