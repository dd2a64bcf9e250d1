"""Runs the two sides of a pair in turns, without torch.

One side waits while the opposite side works, in a random order. Interference from other processes
is watched during all turns.
"""

import contextlib
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from stepbench.interference.watch import Watch
from stepbench.regression.pair import ORDERS, PairRequest, SideError, TakenPair, Turn
from stepbench_reports.schema.check import SIDES, SideName, TurnOptions

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Ends = Mapping[SideName, "Connection[Any, Any]"]
"""The connection to each side, by name."""


def take_turns(
    report: Callable[[str], None], asked: PairRequest, ends: Ends, watch: Callable[[], Watch]
) -> TakenPair:
    """Builds two sides, warms them up and runs them in turns.

    Args:
        report: Called with a few words on the current activity.
        asked: The pair to take.
        ends: The connection to each side.
        watch: Begins to watch the machine; called once the processes of both sides exist.

    Raises:
        SideError: A side failed.
    """
    began = time.perf_counter()
    order = first_and_second(asked)
    report("building both sides")
    for name in order:
        _answer(ends, name)
    report("warming up")
    warm = {name: ask(ends, name, "warm up") for name in order}
    step_s = max(each[0] for each in warm.values())
    ready = max(each[1] for each in warm.values())
    report("taking turns")
    steps = steps_of(asked.turns, step_s, ready)
    toss = random.Random(asked.seed)  # noqa: S311  # not for security
    turns: list[Turn] = []
    watching = watch()
    for _ in range(rounds_of(asked.turns, steps * step_s)):
        turns += [ask(ends, name, "turn", steps) for name in toss.choice(ORDERS)]
    disturbance = watching.end()
    # Both processes still exist, so that shared memory is counted the same way for both.
    ended = {name: ask(ends, name, "tell") for name in order}
    for name in SIDES:
        with contextlib.suppress(OSError):  # the side's process may have ended
            ends[name].send(("leave", 0))
    return TakenPair(tuple(turns), ended, disturbance, time.perf_counter() - began)


def first_and_second(asked: PairRequest) -> tuple[SideName, ...]:
    """The random order in which sides are forked, warmed up and read at the end.

    The seed differs from that of the turns. If a shared resource is short, such as a device's
    memory, then it is short for the second side.
    """
    toss = random.Random(asked.seed + 1)  # noqa: S311  # not for security
    return SIDES if toss.random() < 0.5 else SIDES[::-1]


def steps_of(turns: TurnOptions, step_s: float, ready: int) -> int:
    """The number of steps of a turn.

    Args:
        turns: The number and length of the turns.
        step_s: The rough time of a step, seconds.
        ready: The number of steps whose batches the loader prepares while the opposite side works.
            A turn discards these steps first, and then times at least twice as many.
    """
    return max(turns.steps, 2 * ready, round(turns.seconds / step_s))


def rounds_of(turns: TurnOptions, turn_s: float) -> int:
    """The number of rounds of four turns, if a turn takes `turn_s` seconds."""
    return max(turns.least_rounds, int(turns.total_s / (4 * turn_s)))


def ask(ends: Ends, name: SideName, word: str, steps: int = 0) -> Any:  # noqa: ANN401  # varies
    """Sends a command to a side, and waits for the answer.

    Raises:
        SideError: The side failed.
    """
    try:
        ends[name].send((word, steps))
    except (BrokenPipeError, ConnectionResetError):
        raise SideError(name, "its process ended before it was done") from None
    return _answer(ends, name)


def _answer(ends: Ends, name: SideName) -> Any:  # noqa: ANN401  # varies
    try:
        word, value = ends[name].recv()
    except (EOFError, ConnectionResetError):
        raise SideError(name, "its process ended before it was done") from None
    if word == "failed":
        raise SideError(name, *value)
    return value
