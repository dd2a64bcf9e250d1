"""Gives the two sides of a pair their turns. Knows no torch.

One waits while the other works, in an order that a coin decides, and what else goes on on the
machine is watched all along.
"""

import contextlib
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bench.disturbance import Watch
from bench.regression.pair import ORDERS, SIDES, Pair, PairRequest, SideError, Turn, Turns

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Ends = Mapping[str, "Connection[Any, Any]"]
"""Where each side listens, by its name."""


def take_turns(
    report: Callable[[str], None], asked: PairRequest, ends: Ends, watch: Callable[[], Watch]
) -> Pair:
    """Gives two sides their turns.

    Args:
        report: Is told in a word what is being done.
        asked: How.
        ends: Where each side listens.
        watch: Begins to watch the machine, once all the sides' processes are there.

    Raises:
        SideError: A side came to no good end.
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
    toss = random.Random(asked.seed)  # noqa: S311  # an order, and no secret
    turns: list[Turn] = []
    watching = watch()
    for _ in range(rounds_of(asked.turns, steps * step_s)):
        turns += [ask(ends, name, "turn", steps) for name in toss.choice(ORDERS)]
    disturbance = watching.end()
    # Both are still there: what they share is shared alike when memory is read.
    told = {name: ask(ends, name, "tell") for name in order}
    for name in SIDES:
        with contextlib.suppress(OSError):  # it is gone already
            ends[name].send(("leave", 0))
    return Pair(tuple(turns), told, disturbance, time.perf_counter() - began)


def first_and_second(asked: PairRequest) -> tuple[str, ...]:
    """Which side is forked, warmed up and asked first: a coin's toss, of another than the turns'.

    What they share, such as a device's memory, is short for the second one.
    """
    toss = random.Random(asked.seed + 1)  # noqa: S311  # an order, and no secret
    return SIDES if toss.random() < 0.5 else SIDES[::-1]


def steps_of(turns: Turns, step_s: float, ready: int) -> int:
    """How many steps a turn has.

    Args:
        turns: How turns are taken.
        step_s: What a step takes, roughly.
        ready: How many steps' batches the loader prepares while the other side works. They are
            used up before a turn, which is to be longer than they would last.
    """
    return max(turns.steps, 2 * ready, round(turns.seconds / step_s))


def rounds_of(turns: Turns, turn_s: float) -> int:
    """How many rounds there are where a turn takes so long."""
    return max(turns.least_rounds, int(turns.total_s / (4 * turn_s)))


def ask(ends: Ends, name: str, word: str, steps: int = 0) -> Any:  # noqa: ANN401  # by the word
    """Has a side do something, and waits for its answer.

    Raises:
        SideError: It came to no good end.
    """
    try:
        ends[name].send((word, steps))
    except (BrokenPipeError, ConnectionResetError):
        raise SideError(name, "its process ended before it was done") from None
    return _answer(ends, name)


def _answer(ends: Ends, name: str) -> Any:  # noqa: ANN401  # likewise
    try:
        word, value = ends[name].recv()
    except (EOFError, ConnectionResetError):
        raise SideError(name, "its process ended before it was done") from None
    if word == "failed":
        raise SideError(name, *value)
    return value
