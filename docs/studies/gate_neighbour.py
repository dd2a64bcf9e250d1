"""Takes a pair beside a neighbour that keeps every core busy during some sides' turns.

Runs in a child process, as `stepbench.regression.worker.pairing` does. The parent starts the
neighbour's processes.
"""

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from stepbench.regression import turns
from stepbench.regression.pair import PairRequest, TakenPair
from stepbench.regression.worker import pairing
from stepbench_reports.schema.check import SideFailure, SideName


def take_with_neighbour(
    report: Callable[[str], None],
    request: PairRequest,
    neighbours: Sequence[int],
    noisy_sides: Sequence[str],
) -> TakenPair | SideFailure:
    """Takes a pair; the stopped processes of the neighbour run during some sides' turns."""
    original = turns.ask

    def ask(connections: turns.Connections, name: SideName, command: str, steps: int = 0) -> Any:
        active = neighbours if name in noisy_sides and command == "turn" else ()
        for pid in active:
            os.kill(pid, signal.SIGCONT)
        try:
            return original(connections, name, command, steps)
        finally:
            for pid in active:
                os.kill(pid, signal.SIGSTOP)

    turns.ask = ask
    return pairing.take(report, request)
