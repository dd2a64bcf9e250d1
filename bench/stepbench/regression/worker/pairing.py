"""Takes a pair whose sides share an environment: forks both sides from this process.

Runs in a child of a server that was executed for one round of pairs. The server has imported the
workloads' packages, but no module of the repository. Both sides therefore have the same libraries
at the same addresses, which differ in the next round.
"""

import os
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from stepbench.interference.watch import MachineWatch
from stepbench.process.child import die_with_parent
from stepbench.regression.pair import PairRequest, SideError, SideRequest, TakenPair
from stepbench.regression.turns import fork_order, take_turns
from stepbench.regression.worker.side import run_side
from stepbench_reports.schema.check import SideFailure, SideName

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

EXIT_S = 5.0
"""The time that a side has to exit before it is killed, seconds."""


def take(report: Callable[[str], None], request: PairRequest) -> TakenPair | SideFailure:
    """Takes a pair; returns the pair, or the side that failed.

    Args:
        report: Called with a few words on the current activity.
        request: The pair to take.
    """
    context = get_context("fork")
    connections: dict[SideName, Connection[Any, Any]] = {}
    processes = []
    for name in fork_order(request):
        connections[name], child_connection = context.Pipe()
        inherited = tuple(connections.values())
        process = context.Process(
            target=_run_child, args=(child_connection, request.sides[name], inherited)
        )
        process.start()
        child_connection.close()
        processes.append(process)
    try:
        return take_turns(report, request, connections, MachineWatch)
    except SideError as error:
        return error.failed
    finally:
        for connection in connections.values():
            connection.close()
        for process in processes:
            process.join(EXIT_S)
            process.kill()


def _run_child(
    child_connection: "Connection[Any, Any]",
    side_request: SideRequest,
    inherited: "Sequence[Connection[Any, Any]]",
) -> None:
    """Runs a side in a child process, which ends when the parent ends or is killed."""
    die_with_parent(os.getppid())
    for connection in inherited:  # an open copy would hide that the parent has closed its own
        connection.close()
    run_side(child_connection, side_request)
