"""Rounds: all players of a group take turns, in random order and then in the reverse order.

An even drift of the machine's speed therefore meets all players alike. Each player takes a lapped
and a bare turn in a round, in an order that is drawn for the round.
"""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from stepbench.config.turns import Ready, TakeTurn, TurnKind, TurnResult

Name = TypeVar("Name")
"""The name of a player in its group: a case, or a side."""

TURN_S = 0.06
"""The shortest duration of a turn that is aimed at, seconds."""
PREFETCH_FACTOR = 4
"""A turn has at least this number of steps for each step that the loader keeps ready."""


@dataclass(frozen=True)
class TakenTurn(Generic[Name]):
    """A turn that was taken.

    Attributes:
        player: The name of the player.
        round: The index of the round in its generation, from 0.
        command: The command.
        result: The answer.
    """

    player: Name
    round: int
    command: TakeTurn
    result: TurnResult


def steps_per_turn(ready: Ready, turns_s: float, recent_s: Sequence[float] = ()) -> int:
    """The number of steps in a player's turns.

    Args:
        ready: The player.
        recent_s: The mean steps of the player's latest turns, seconds. Beside a neighbour a step
            may take a hundred times as long as in the warm-up.
        turns_s: The time of all the player's turns in a generation, seconds. A turn takes at most a
            quarter, so that there are two turns of each kind.
    """
    step_s = max(ready.step_s, statistics.median(recent_s) if recent_s else 0.0)
    steps = max(1, round(TURN_S / step_s), PREFETCH_FACTOR * ready.prefetched_steps)
    return max(1, min(steps, round(max(turns_s, TURN_S) / 4 / step_s)))


def cores_of_round(ready: Ready, cores: Sequence[int], number: int) -> tuple[int, ...]:
    """The cores of a player in a round: one and the same for players that compute on one, else all.

    A player that drifts to a slower core would be taken for a slower case. Threads of an operator
    wait for each other, and must never have to share a core.

    Args:
        ready: The player.
        cores: The cores that the run may use.
        number: The index of the round.
    """
    if ready.threads == 1 and not ready.workers:
        return (cores[number % len(cores)],)
    return tuple(cores)


def order_of_round(
    names: Sequence[Name], kinds: Sequence[TurnKind], rng: random.Random
) -> list[tuple[Name, TurnKind]]:
    """Draws the turns of a round: each kind of turn once for each player.

    Players take their turns of the first kind in a random order, those of the second kind in the
    reverse order, and so on.

    Args:
        names: The players.
        kinds: The kinds of turn.
        rng: The source of randomness.
    """
    order = rng.sample(list(names), len(names))
    turns: list[tuple[Name, TurnKind]] = []
    for kind in rng.sample(list(kinds), len(kinds)):
        turns += [(name, kind) for name in order]
        order.reverse()
    return turns
