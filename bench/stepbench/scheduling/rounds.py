"""Rounds: all players of a group take turns, in random order and then in the reverse order.

An even drift of the machine's speed therefore meets all players alike. Each player takes a turn of
each kind in a round, in an order that is drawn for the round.
"""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from stepbench.config.turns import Ready, TakeTurn, TurnKind, TurnResult

Name = TypeVar("Name")
"""The name of a player in its group: a case, or a side."""

LOADED = (TurnKind.LAPPED, TurnKind.BARE)
WITHOUT_LOADING = (TurnKind.UNLOADED, TurnKind.TINY)
PREFETCH_FACTOR = 4
"""A turn has at least this number of steps for each step that the loader keeps ready."""


@dataclass(frozen=True)
class RoundPlan:
    """The turns of a round, and the fewest rounds.

    Attributes:
        kinds: The kinds of turn that each player takes in every round. Two turns of the same kind
            make A B B A of the players A and B.
        kinds_once: The kinds of turn that each player takes once, after the first round.
        turn_s: The shortest duration of a turn that is aimed at, seconds.
        min_steps: The fewest steps in a turn.
        min_rounds: The fewest rounds of a generation, however long they take.
    """

    kinds: tuple[TurnKind, ...] = LOADED
    kinds_once: tuple[TurnKind, ...] = WITHOUT_LOADING
    turn_s: float = 0.06
    min_steps: int = 1
    min_rounds: int = 2


ROUNDS_OF_RUNS = RoundPlan()
"""The rounds in which the cases of a run are measured."""


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


def steps_per_turn(
    ready: Ready, plan: RoundPlan, turns_s: float, recent_s: Sequence[float] = ()
) -> int:
    """The number of steps in a player's turns.

    Args:
        ready: The player.
        plan: The turns of a round.
        turns_s: The time of all the player's turns in a generation, seconds. No turn takes more
            than its part of the fewest rounds.
        recent_s: The mean steps of the player's latest turns, seconds. Beside a neighbour a step
            may take a hundred times as long as in the warm-up.
    """
    step_s = max(ready.step_s, statistics.median(recent_s) if recent_s else 0.0)
    steps = max(round(plan.turn_s / step_s), PREFETCH_FACTOR * ready.prefetched_steps)
    longest_s = max(turns_s, plan.turn_s) / (plan.min_rounds * len(plan.kinds))
    return max(plan.min_steps, min(max(1, steps), round(longest_s / step_s)))


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
