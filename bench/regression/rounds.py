"""Takes pairs in rounds. For each round a server is executed anew, in each environment.

So where the heavy libraries lie in memory, and whatever else is settled when a process begins, is
the same for both sides of a pair, and another in each round.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.case import Case
from bench.child import Job, Outcome, Server, Status
from bench.regression.comparison import Comparison
from bench.regression.environments import pair_apart
from bench.regression.pair import SIDES, Failed, Pair, PairRequest

TOGETHER = ("bench.regression.pairing",)
"""What the server of a round imports that both sides are forked from."""
APART = ("bench.regression.side",)
"""What each of two servers imports."""


@contextlib.contextmanager
def opened(comparison: Comparison, cases: Sequence[Case]) -> Iterator["Round"]:
    """A round: its servers live for as long as the context lasts.

    Raises:
        ServerGoneError: A server could not import what it needs.
    """
    if comparison.sides.environments:
        servers = {side: comparison.server(side, APART, cases) for side in reversed(SIDES)}
    else:
        servers = {"head": comparison.server("head", TOGETHER, cases)}
    try:
        for server in servers.values():
            server.wait_until_ready()
        yield Round(comparison, servers)
    finally:
        for server in servers.values():
            server.close()


class Round:
    """Takes the pairs of one round.

    Args:
        comparison: What is compared.
        servers: A side's, or the one of both.
    """

    def __init__(self, comparison: Comparison, servers: Mapping[str, Server]) -> None:
        self._comparison = comparison
        self.servers = servers

    def pair(self, case: Case, on_progress: Callable[[str], None]) -> Pair | Failed:
        """Takes a pair of a case."""
        comparison = self._comparison
        asked = PairRequest(
            {side: comparison.side(side, case) for side in SIDES},
            secrets.randbits(32),
            comparison.asked.turns,
        )
        if comparison.sides.environments:
            return pair_apart(asked, self.servers, comparison.asked.run.deadline_s, on_progress)
        job = Job("bench.regression.pairing:take", (asked,))
        return taken(comparison.run(self.servers["head"], job, on_progress))


def taken(outcome: Outcome) -> Pair | Failed:
    """What a child's outcome says of a pair.

    What ends both sides at once, such as the deadline, is head's only where base is well; so it
    counts as base's, and as no regression.
    """
    if outcome.status is Status.OK:
        found: Pair | Failed = outcome.result
        return found
    return Failed("base", outcome.reason or str(outcome.status), outcome.detail)
