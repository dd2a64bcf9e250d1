"""Takes a pair whose sides share an environment: forks both from this process.

Runs in a child of a server that was executed for one round of pairs and has imported what the
workloads need, and nothing of the repository: so both sides have the same libraries at the same
addresses, and another round has them at others.
"""

import os
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from bench.child import die_with
from bench.disturbance import MachineWatch, gauge_of
from bench.regression.pair import Failed, Pair, PairRequest, SideError, SideRequest
from bench.regression.side import live
from bench.regression.turns import first_and_second, take_turns

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

LEAVE_S = 5.0
"""How long a side may take to leave, once it is told to."""


def take(report: Callable[[str], None], asked: PairRequest) -> Pair | Failed:
    """Takes a pair, or says which side failed.

    Args:
        report: Is told in a word what is being done.
        asked: Which.
    """
    context = get_context("fork")
    ends: dict[str, Connection[Any, Any]] = {}
    processes = []
    for name in first_and_second(asked):
        ends[name], far = context.Pipe()
        inherited = tuple(ends.values())
        process = context.Process(target=_live, args=(far, asked.sides[name], inherited))
        process.start()
        far.close()
        processes.append(process)
    device = asked.sides["head"].request.case.device
    try:
        return take_turns(report, asked, ends, lambda: MachineWatch(gauge_of(device)))
    except SideError as error:
        return error.failed
    finally:
        for end in ends.values():
            end.close()
        for process in processes:
            process.join(LEAVE_S)
            process.kill()


def _live(
    far: "Connection[Any, Any]", asked: SideRequest, inherited: "Sequence[Connection[Any, Any]]"
) -> None:
    """A side's process: ends with the one that forked it, however that ends."""
    die_with(os.getppid())
    for end in inherited:  # else it would never see that the others have ended
        end.close()
    live(far, asked)
