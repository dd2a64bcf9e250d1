"""Takes a pair whose sides share an environment: forks both sides from this process.

Runs in a child of a server that was executed for one round of pairs. The server has imported the
workloads' packages, but no module of the repository. Both sides therefore have the same libraries
at the same addresses, which differ in the next round.
"""

import os
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from stepbench.devices.kinds import kind_of
from stepbench.interference.watch import MachineWatch
from stepbench.process.child import die_with
from stepbench.regression.pair import PairRequest, SideError, SideRequest, TakenPair
from stepbench.regression.turns import first_and_second, take_turns
from stepbench.regression.worker.side import live
from stepbench_reports.schema.check import SideFailure, SideName

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

LEAVE_S = 5.0
"""The time that a side has to exit before it is killed, seconds."""


def take(report: Callable[[str], None], asked: PairRequest) -> TakenPair | SideFailure:
    """Takes a pair; returns the pair, or the side that failed.

    Args:
        report: Called with a few words on the current activity.
        asked: The pair to take.
    """
    context = get_context("fork")
    ends: dict[SideName, Connection[Any, Any]] = {}
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
        return take_turns(report, asked, ends, lambda: MachineWatch(kind_of(device).gauge(device)))
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
    """Runs a side in a child process, which ends when the parent ends, even by being killed."""
    die_with(os.getppid())
    for end in inherited:  # an open copy would hide that the parent has closed it
        end.close()
    live(far, asked)
