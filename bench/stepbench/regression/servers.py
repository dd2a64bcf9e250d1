"""Takes pairs in rounds. For each round, a fresh server is executed in each environment.

Whatever is fixed when a process starts, such as the addresses of libraries, therefore differs from
round to round. Sides that share an environment have the same addresses within a round.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence

from stepbench.config.case import Case
from stepbench.process.job import Job, Outcome
from stepbench.process.server import Server
from stepbench.regression.comparison import Comparison
from stepbench.regression.environments import pair_across_environments
from stepbench.regression.pair import PairRequest, TakenPair
from stepbench_reports.schema.check import SIDES, SideFailure, SideName
from stepbench_reports.schema.status import Status

SAME_ENVIRONMENT = ("stepbench.regression.worker.pairing",)
"""The modules that a server imports if both sides are forked from it."""
TWO_ENVIRONMENTS = ("stepbench.regression.worker.side",)
"""The modules that each server imports if each side has a server."""


@contextlib.contextmanager
def opened(comparison: Comparison, cases: Sequence[Case]) -> Iterator["PairServers"]:
    """Opens the servers of a round while the context lasts.

    Raises:
        ServerGoneError: A server could not import its modules.
    """
    if comparison.sides.two_environments:
        servers = {
            side: comparison.server(side, TWO_ENVIRONMENTS, cases) for side in reversed(SIDES)
        }
    else:
        servers = {"head": comparison.server("head", SAME_ENVIRONMENT, cases)}
    try:
        for server in servers.values():
            server.wait_until_ready()
        yield PairServers(comparison, servers)
    finally:
        for server in servers.values():
            server.close()


class PairServers:
    """Takes the pairs of one round.

    Args:
        comparison: Both sides, the cases and the directory.
        servers: The server of each side; only head's if both sides share an environment.
    """

    def __init__(self, comparison: Comparison, servers: Mapping[SideName, Server]) -> None:
        self._comparison = comparison
        self.servers = servers

    def pair(self, case: Case, on_progress: Callable[[str], None]) -> TakenPair | SideFailure:
        """Takes a pair of a case."""
        comparison = self._comparison
        request = PairRequest(
            {side: comparison.side_request(side, case) for side in SIDES},
            secrets.randbits(32),
            comparison.options.turns,
        )
        if comparison.sides.two_environments:
            deadline_s = comparison.options.run.deadline_s
            return pair_across_environments(request, self.servers, deadline_s, on_progress)
        job = Job("stepbench.regression.worker.pairing:take", (request,))
        return pair_result(comparison.run(self.servers["head"], job, on_progress))


def pair_result(outcome: Outcome) -> TakenPair | SideFailure:
    """Reads the outcome of the child that took a pair.

    A failure of the whole pair, such as a missed deadline, counts as base's, and therefore as no
    regression. A failure is head's only if base works.
    """
    if outcome.status is Status.OK:
        pair: TakenPair | SideFailure = outcome.result
        return pair
    return SideFailure(
        side="base", reason=outcome.reason or str(outcome.status), detail=outcome.detail
    )
