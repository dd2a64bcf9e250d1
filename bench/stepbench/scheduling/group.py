"""A group: plays generation after generation until the comparisons are precise, or time is up."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Self

from stepbench.config.turns import PlayerFacts
from stepbench.interference.watch import usable_cores
from stepbench.scheduling.generation import GenerationPlan, Played, play
from stepbench.scheduling.memory import limit_bytes
from stepbench.scheduling.player import Player
from stepbench.scheduling.rounds import ROUNDS_OF_RUNS, Name, RoundPlan
from stepbench.scheduling.stopping import generations_needed
from stepbench_reports.schema.run import SamplingOptions
from stepbench_reports.schema.stop_reason import StopReason

TURNS_SHARE = 0.25
"""The share of a player's time that its turns take; starting its processes takes the rest."""
FIRST_STAGE_OVERRUN = 2.0
"""The first stage ends early, with two generations or more, at this multiple of the time."""


@dataclass(frozen=True)
class GroupOptions:
    """The length and precision of a group's sampling.

    Attributes:
        generations: The number of generations in the first stage.
        turns_s: The time of each player's turns in a generation, seconds.
        steps: The exact number of lapped steps; a single generation takes them.
        rel_error: The wanted half-width of each comparison's interval, as a share.
        player_s: The time for each player, seconds. No generation begins after their sum.
    """

    generations: int
    turns_s: float
    steps: int | None
    rel_error: float
    player_s: float

    @classmethod
    def of(cls, sampling: SamplingOptions) -> Self:
        """The options of a group whose players have the time of a case each."""
        return cls(
            generations=sampling.generations,
            turns_s=TURNS_SHARE * sampling.max_time_s / sampling.generations,
            steps=sampling.steps,
            rel_error=sampling.rel_error,
            player_s=sampling.max_time_s,
        )


@dataclass(frozen=True)
class Group(Generic[Name]):
    """The players that take turns with each other.

    Attributes:
        names: The players.
        start: Starts a player's process.
        comparisons: Takes the generations so far; returns the log ratio of each comparison that is
            wanted, in each generation.
        rounds: The turns of a round.
    """

    names: tuple[Name, ...]
    start: Callable[[Name], Player[PlayerFacts]]
    comparisons: Callable[[Sequence[Played[Name, PlayerFacts]]], Sequence[Sequence[float]]]
    rounds: RoundPlan = ROUNDS_OF_RUNS

    def play(
        self,
        options: GroupOptions,
        on_progress: Callable[[str], None],
        on_generation: Callable[[Sequence[Played[Name, PlayerFacts]], int], None],
    ) -> StopReason:
        """Plays generations, and returns why there are no more.

        Args:
            options: The length and precision.
            on_progress: Called with a few words on the current activity.
            on_generation: Called after each generation with all generations so far, and with the
                number of generations to come.
        """
        began_s = time.perf_counter()
        rng = random.Random()  # noqa: S311  # not for security
        played: list[Played[Name, PlayerFacts]] = []
        total = wanted = 1 if options.steps is not None else options.generations
        first_stage, needed = True, None
        while True:
            names = self.names if not played else tuple(played[-1].ready)
            names = tuple(name for name in names if not played or name not in played[-1].lost)
            if not names:
                return StopReason.TIME
            report = _prefixed(f"generation {len(played) + 1} of {total}: ", on_progress)
            plan = replace(_plan(len(played), options), rounds=self.rounds)
            played.append(play(self.start, names, plan, rng, report))
            if options.steps is None and first_stage and len(played) == options.generations:
                first_stage = False
                needed = generations_needed(self.comparisons(played), options.rel_error)
                wanted = len(played) if needed is None else needed
            longest_s = max(each.elapsed_s for each in played)
            spent_s = time.perf_counter() - began_s
            max_s = options.player_s * len(played[0].ready)
            affordable = max(0, int((max_s - spent_s) / longest_s))
            left = max(0, wanted - len(played))
            left = left if first_stage else min(left, affordable)
            total = len(played) + left
            on_generation(played, left)
            if options.steps is not None:
                return StopReason.STEPS
            if not first_stage and len(played) >= wanted:
                return StopReason.GENERATIONS if needed is None else StopReason.PRECISE
            overrun = FIRST_STAGE_OVERRUN if first_stage else 1.0
            if spent_s + longest_s > overrun * max_s and len(played) >= 2:
                return StopReason.TIME


def _plan(number: int, options: GroupOptions) -> GenerationPlan:
    """The plan of a generation; the first one is thorough, and admits the players."""
    return GenerationPlan(
        number=number,
        turns_s=options.turns_s,
        steps=options.steps,
        thorough=number == 0,
        cores=tuple(usable_cores()),
        memory_bytes=limit_bytes() if number == 0 else None,
    )


def _prefixed(prefix: str, on_progress: Callable[[str], None]) -> Callable[[str], None]:
    return lambda activity: on_progress(prefix + activity)
