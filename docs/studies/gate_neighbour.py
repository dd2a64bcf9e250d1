"""A side of a pair beside a neighbour that keeps every core busy during the side's turns alone."""

import os
import signal
from collections.abc import Sequence

from stepbench.config.turns import TakeTurn, TurnResult
from stepbench.process.job import Job
from stepbench.process.server import Server
from stepbench.scheduling.player import Limits, Player
from stepbench_reports.schema.check import SideEnd

BUSY_LOOP = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
while True: pass
"""
"""A program that keeps a core busy, whose number is its argument."""


class DisturbedPlayer(Player[SideEnd]):
    """A player beside a neighbour.

    Args:
        server: The server that starts the process.
        job: The player's job.
        limits: The player's limits.
        neighbours: The stopped processes that run during the player's turns.
    """

    def __init__(self, server: Server, job: Job, limits: Limits, neighbours: Sequence[int]) -> None:
        super().__init__(server, job, limits)
        self._neighbours = neighbours

    def turn(self, command: TakeTurn) -> TurnResult:
        """Has the player take a turn beside the neighbour."""
        for pid in self._neighbours:
            os.kill(pid, signal.SIGCONT)
        try:
            return super().turn(command)
        finally:
            for pid in self._neighbours:
                os.kill(pid, signal.SIGSTOP)
