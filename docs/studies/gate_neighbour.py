"""Takes a pair beside a neighbour that burns every core while a side works, and only then.

Runs in a child, as `stepbench.regression.worker.pairing` does; the neighbour's processes are the
parent's.
"""

import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from stepbench.regression import turns
from stepbench.regression.pair import PairRequest, TakenPair
from stepbench.regression.worker import pairing
from stepbench_reports.schema.check import SideFailure, SideName


def take_beside(
    report: Callable[[str], None],
    asked: PairRequest,
    neighbours: Sequence[int],
    beside: Sequence[str],
) -> TakenPair | SideFailure:
    """Takes a pair; the neighbours, stopped till now, go on during the turns of some sides."""
    plain = turns.ask

    def ask(ends: turns.Ends, name: SideName, word: str, steps: int = 0) -> Any:
        active = neighbours if name in beside and word == "turn" else ()
        for pid in active:
            os.kill(pid, signal.SIGCONT)
        try:
            return plain(ends, name, word, steps)
        finally:
            for pid in active:
                os.kill(pid, signal.SIGSTOP)

    turns.ask = ask
    return pairing.take(report, asked)
