"""A generation: the players of a group, each in a fresh process, take turns in rounds.

What is settled when a process begins, such as the layout of its memory, is part of the noise and
constant in the process. Several generations therefore make an estimate, and each is one sample.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic

from stepbench.config.turns import PlayerFacts, Ready, TakeTurn, TurnKind
from stepbench.process.job import Outcome
from stepbench.scheduling.memory import tree_bytes
from stepbench.scheduling.player import Player, PlayerLostError
from stepbench.scheduling.rounds import (
    Name,
    TakenTurn,
    cores_of_round,
    order_of_round,
    steps_per_turn,
)
from stepbench_reports.schema.status import Status

LOADED = (TurnKind.LAPPED, TurnKind.BARE)
WITHOUT_LOADING = (TurnKind.UNLOADED, TurnKind.TINY)
MAX_PLAYERS = 16
"""The most players of a group: turns that are compared should lie close together in time."""
RECENT_TURNS = 3
"""The latest turns of a player that set the number of steps in its next one; their median counts,
so that a stall of the player's own does not shorten it."""
MIN_ROUNDS = 2
"""The fewest rounds of a generation, however long they take."""


@dataclass(frozen=True)
class GenerationPlan:
    """The work of a generation.

    Attributes:
        number: The generation's index in its group, from 0.
        turns_s: The time of each player's turns, seconds.
        steps: The number of lapped steps of each player, and of bare ones; `None` for as many as
            take `turns_s`.
        thorough: True if players also measure the loader alone, and collect facts at the end.
        cores: The cores that the run may use.
        memory_bytes: The memory that all players may take together; the others are deferred.
            `None` for a group that has been admitted before.
    """

    number: int
    turns_s: float
    steps: int | None
    thorough: bool
    cores: tuple[int, ...]
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Played(Generic[Name]):
    """The result of a generation.

    Attributes:
        number: The generation's index in its group.
        ready: The players that were prepared.
        turns: The turns in the order in which they were taken.
        facts: The facts of each player that collected them.
        lost: The outcomes of the players that ended before their time.
        deferred: The players that found no memory beside the others.
        start_s: The time in which each player's process started, seconds.
        elapsed_s: The time that the generation took, seconds.
    """

    number: int
    ready: Mapping[Name, Ready]
    turns: tuple[TakenTurn[Name], ...]
    facts: Mapping[Name, PlayerFacts]
    lost: Mapping[Name, Outcome]
    deferred: tuple[Name, ...]
    start_s: Mapping[Name, float]
    elapsed_s: float


def play(
    start: Callable[[Name], Player],
    names: Sequence[Name],
    plan: GenerationPlan,
    rng: random.Random,
    on_progress: Callable[[str], None],
) -> Played[Name]:
    """Plays a generation. A player that is lost leaves the group, and the others go on.

    Args:
        start: Starts a player's process.
        names: The players.
        plan: The work.
        rng: The source of randomness.
        on_progress: Called with a few words on the current activity.
    """
    began_s = time.perf_counter()
    with contextlib.ExitStack() as stack:
        group = _Group[Name](plan, rng)
        order = (
            list(names) if plan.memory_bytes is not None else rng.sample(list(names), len(names))
        )
        for name in order:
            group.admit(name, lambda: stack.enter_context(start(name)))  # noqa: B023  # called at once
        group.take_turns(on_progress)
        for name, player in list(group.players.items()):
            with group.losing(name):
                facts = player.finish(thorough=plan.thorough)
                if facts is not None:
                    group.facts[name] = facts
    return Played(
        plan.number,
        group.ready,
        tuple(group.turns),
        group.facts,
        group.lost,
        tuple(group.deferred),
        group.start_s,
        time.perf_counter() - began_s,
    )


@dataclass
class _Group(Generic[Name]):
    """The live players of a generation, and what they have done so far."""

    plan: GenerationPlan
    rng: random.Random
    players: dict[Name, Player] = field(default_factory=dict)
    ready: dict[Name, Ready] = field(default_factory=dict)
    turns: list[TakenTurn[Name]] = field(default_factory=list)
    facts: dict[Name, PlayerFacts] = field(default_factory=dict)
    lost: dict[Name, Outcome] = field(default_factory=dict)
    deferred: list[Name] = field(default_factory=list)
    start_s: dict[Name, float] = field(default_factory=dict)

    def admit(self, name: Name, start: Callable[[], Player]) -> None:
        """Starts and prepares a player, or defers it if there is no memory beside the others."""
        limit = self.plan.memory_bytes
        beside = bool(self.players)
        if limit is not None and beside and self._is_full(limit):
            self.deferred.append(name)
            return
        with self.losing(name):
            player = start()
            self.ready[name] = player.prepare(thorough=self.plan.thorough)
            self.players[name] = player
            self.start_s[name] = player.start_s or 0.0
        if limit is not None and beside and self._is_short(name):
            del self.lost[name]
            self.deferred.append(name)

    def _is_full(self, limit_bytes: int) -> bool:
        if len(self.players) >= MAX_PLAYERS:
            return True
        return tree_bytes(player.pid for player in self.players.values()) >= limit_bytes

    def _is_short(self, name: Name) -> bool:
        return name in self.lost and self.lost[name].status is Status.OOM

    @contextlib.contextmanager
    def losing(self, name: Name) -> Iterator[None]:
        """Records the loss of a player, who then takes no more turns."""
        try:
            yield
        except PlayerLostError as error:
            self.lost[name] = error.outcome
            self.players.pop(name, None)

    def take_turns(self, on_progress: Callable[[str], None]) -> None:
        """Takes rounds until the time, or the number of steps, is used up."""
        began_s, number = time.perf_counter(), 0
        while self.players and not self._done(number, time.perf_counter() - began_s):
            on_progress(f"round {number + 1}")
            self._take_round(LOADED, number)
            if number == 0:
                self._take_round(WITHOUT_LOADING, number)
            number += 1

    def _done(self, rounds: int, elapsed_s: float) -> bool:
        if self.plan.steps is not None:
            return not any(self._steps_left(name, TurnKind.BARE) for name in self.players)
        return rounds >= MIN_ROUNDS and elapsed_s >= self.plan.turns_s * len(self.players)

    def _steps_left(self, name: Name, kind: TurnKind) -> int:
        taken = sum(
            turn.command.steps
            for turn in self.turns
            if turn.player == name and turn.command.kind is kind
        )
        return (self.plan.steps or 0) - taken

    def _take_round(self, kinds: Sequence[TurnKind], number: int) -> None:
        for name, kind in order_of_round(list(self.players), kinds, self.rng):
            command = self._command(name, kind, number)
            if name not in self.players or command.steps == 0:
                continue
            with self.losing(name):
                result = self.players[name].turn(command)
                self.turns.append(TakenTurn(name, number, command, result))

    def _command(self, name: Name, kind: TurnKind, number: int) -> TakeTurn:
        ready = self.ready[name]
        recent_s = [
            turn.result.elapsed_s / turn.command.steps
            for turn in self.turns
            if turn.player == name and turn.command.kind in LOADED
        ]
        steps = steps_per_turn(ready, self.plan.turns_s, recent_s[-RECENT_TURNS:])
        if self.plan.steps is not None and kind in LOADED:
            steps = min(steps, self._steps_left(name, kind))
        return TakeTurn(kind, steps, cores_of_round(ready, self.plan.cores, number))
