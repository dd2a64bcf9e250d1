"""Runs the two sides of a pair in turns, without torch.

One side waits while the opposite side works, in a random order. Interference from other processes
is watched during all turns. The process of a side reads the device's state, since this process may
have no torch and uses no device.
"""

import contextlib
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from stepbench.regression.pair import ORDERS, PairRequest, SideError, TakenPair, Turn
from stepbench_reports.schema.check import SIDES, SideName, TurnOptions

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from stepbench.devices.kind import Gauge, GaugeReading
    from stepbench.interference.watch import Watch

Connections = Mapping[SideName, "Connection[Any, Any]"]
"""The connection to each side, by name."""


def take_turns(
    report: Callable[[str], None],
    request: PairRequest,
    connections: Connections,
    watch: "Callable[[Gauge], Watch]",
) -> TakenPair:
    """Builds two sides, warms them up and runs them in turns.

    Args:
        report: Called with a few words on the current activity.
        request: The pair to take.
        connections: The connection to each side.
        watch: Begins to watch the machine and the gauge of the device; called once the processes
            of both sides exist.

    Raises:
        SideError: A side failed.
    """
    began = time.perf_counter()
    order = fork_order(request)
    report("building both sides")
    for name in order:
        _answer(connections, name)
    report("warming up")
    warm_ups = [ask(connections, name, "warm up") for name in order]
    step_s = max(step_s for step_s, _ in warm_ups)
    prefetched_steps = max(prefetched for _, prefetched in warm_ups)
    report("taking turns")
    steps = steps_per_turn(request.turns, step_s, prefetched_steps)
    rng = random.Random(request.seed)  # noqa: S311  # not for security
    turns: list[Turn] = []
    machine_watch = watch(_HeadGauge(connections))
    for _ in range(rounds_per_pair(request.turns, steps * step_s)):
        turns += [ask(connections, name, "turn", steps) for name in rng.choice(ORDERS)]
    machine_use = machine_watch.end()
    # Both processes still exist, so that shared memory is counted the same way for both.
    end_facts = {name: ask(connections, name, "facts") for name in order}
    for name in SIDES:
        with contextlib.suppress(OSError):  # the side's process may have ended
            connections[name].send(("exit", 0))
    return TakenPair(tuple(turns), end_facts, machine_use, time.perf_counter() - began)


class _HeadGauge:
    """Reads the state of the device in head's process.

    Args:
        connections: The connection to each side.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def begin(self) -> None:
        """Starts to observe a block.

        Raises:
            SideError: Head failed.
        """
        ask(self._connections, "head", "begin gauge")

    def end(self) -> "GaugeReading":
        """Returns the device's state since the last call of `begin`.

        Raises:
            SideError: Head failed.
        """
        reading: GaugeReading = ask(self._connections, "head", "end gauge")
        return reading


def fork_order(request: PairRequest) -> tuple[SideName, ...]:
    """The random order in which sides are forked, warmed up and read at the end.

    The seed differs from that of the turns. If a shared resource is short, such as a device's
    memory, then it is short for the second side.
    """
    rng = random.Random(request.seed + 1)  # noqa: S311  # not for security
    return SIDES if rng.random() < 0.5 else SIDES[::-1]


def steps_per_turn(turns: TurnOptions, step_s: float, prefetched_steps: int) -> int:
    """The number of steps of a turn.

    Args:
        turns: The number and length of the turns.
        step_s: The rough time of a step, seconds.
        prefetched_steps: The number of steps whose batches the loader prepares while the opposite
            side works. A turn discards these steps first, and then times at least twice as many.
    """
    return max(turns.steps, 2 * prefetched_steps, round(turns.seconds / step_s))


def rounds_per_pair(turns: TurnOptions, turn_s: float) -> int:
    """The number of rounds of four turns, if a turn takes `turn_s` seconds."""
    return max(turns.min_rounds, int(turns.total_s / (4 * turn_s)))


def ask(connections: Connections, name: SideName, command: str, steps: int = 0) -> Any:  # noqa: ANN401  # varies
    """Sends a command to a side, and waits for the answer.

    Raises:
        SideError: The side failed.
    """
    try:
        connections[name].send((command, steps))
    except (BrokenPipeError, ConnectionResetError):
        raise SideError(name, "its process ended before it was done") from None
    return _answer(connections, name)


def _answer(connections: Connections, name: SideName) -> Any:  # noqa: ANN401  # varies
    try:
        kind, value = connections[name].recv()
    except (EOFError, ConnectionResetError):
        raise SideError(name, "its process ended before it was done") from None
    if kind == "failed":
        raise SideError(name, *value)
    return value
