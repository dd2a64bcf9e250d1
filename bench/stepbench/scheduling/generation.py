"""A generation: the players of a group, each in a fresh process, take turns in rounds.

What is settled when a process begins, such as the layout of its memory, is part of the noise and
constant in the process. Several generations therefore make an estimate, and each is one sample.
"""

import contextlib
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic

from stepbench.config.turns import Ready, TakeTurn, TurnKind
from stepbench.process.job import Outcome
from stepbench.scheduling.memory import tree_bytes
from stepbench.scheduling.player import Facts, Player, PlayerLostError
from stepbench.scheduling.rounds import (
    LOADED,
    ROUNDS_OF_RUNS,
    Name,
    RoundPlan,
    TakenTurn,
    cores_of_round,
    order_of_round,
    steps_per_turn,
)
from stepbench_reports.schema.status import Status

RECENT_TURNS = 3
"""The latest turns of a player that set the number of steps in its next one; their median counts,
so that a stall of the player's own does not shorten it."""


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
        rounds: The turns of a round.
        min_players: The fewest players that take turns; with fewer left, the turns end.
    """

    number: int
    turns_s: float
    steps: int | None
    thorough: bool
    cores: tuple[int, ...]
    memory_bytes: int | None = None
    rounds: RoundPlan = ROUNDS_OF_RUNS
    min_players: int = 1


@dataclass(frozen=True)
class Played(Generic[Name, Facts]):
    """The result of a generation.

    Attributes:
        number: The generation's index in its group.
        ready: The players that were prepared.
        turns: The turns in the order in which they were taken.
        facts: The facts of each player that collected them.
        lost: The outcomes of the players that ended before their time.
        deferred: The players that found no memory beside the others, and of which nothing is kept.
        start_s: The time in which each player's process started, seconds.
        elapsed_s: The time that the generation took, seconds.
    """

    number: int
    ready: Mapping[Name, Ready]
    turns: tuple[TakenTurn[Name], ...]
    facts: Mapping[Name, Facts]
    lost: Mapping[Name, Outcome]
    deferred: tuple[Name, ...]
    start_s: Mapping[Name, float]
    elapsed_s: float


def play(
    start: Callable[[Name], Player[Facts]],
    names: Sequence[Name],
    plan: GenerationPlan,
    rng: random.Random,
    on_progress: Callable[[str], None],
) -> Played[Name, Facts]:
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
        group = _Group[Name, Facts](plan, rng)
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
class _Group(Generic[Name, Facts]):
    """The live players of a generation, and what they have done so far."""

    plan: GenerationPlan
    rng: random.Random
    players: dict[Name, Player[Facts]] = field(default_factory=dict)
    ready: dict[Name, Ready] = field(default_factory=dict)
    turns: list[TakenTurn[Name]] = field(default_factory=list)
    facts: dict[Name, Facts] = field(default_factory=dict)
    lost: dict[Name, Outcome] = field(default_factory=dict)
    deferred: list[Name] = field(default_factory=list)
    start_s: dict[Name, float] = field(default_factory=dict)
    ended: set[Name] = field(default_factory=set)
    # Sums of `turns`, which may be many.
    steps_taken: Counter[tuple[Name, TurnKind]] = field(default_factory=Counter)
    recent_s: dict[Name, deque[float]] = field(default_factory=dict)

    def admit(self, name: Name, start: Callable[[], Player[Facts]]) -> None:
        """Starts and prepares a player, or defers it if there is no memory beside the others."""
        limit = self.plan.memory_bytes
        if limit is not None and self.players and self._is_full(limit):
            self._defer(name)
            return
        with self.losing(name):
            player = start()
            self.ready[name] = player.prepare(thorough=self.plan.thorough)
            self.players[name] = player
            self.start_s[name] = player.start_s or 0.0

    def _is_full(self, limit_bytes: int) -> bool:
        return tree_bytes(player.pid for player in self.players.values()) >= limit_bytes

    @contextlib.contextmanager
    def losing(self, name: Name) -> Iterator[None]:
        """Records the loss of a player, who then takes no more turns.

        One that runs out of memory while others are alive is deferred.
        """
        try:
            yield
        except PlayerLostError as error:
            self.players.pop(name, None)
            if error.outcome.status is Status.OOM and self.players:
                self._defer(name)
            else:
                self.lost[name] = error.outcome

    def _defer(self, name: Name) -> None:
        self.deferred.append(name)
        self.ready.pop(name, None)
        self.start_s.pop(name, None)
        self.turns = [turn for turn in self.turns if turn.player != name]

    def take_turns(self, on_progress: Callable[[str], None]) -> None:
        """Takes rounds until the time, or the number of steps, is used up."""
        began_s, number = time.perf_counter(), 0
        rounds = self.plan.rounds
        while not self._done(number, time.perf_counter() - began_s):
            on_progress(f"round {number + 1}")
            self._take_round(rounds.kinds, number)
            if number == 0:
                self._take_round(rounds.kinds_once, number)
            number += 1

    def _done(self, rounds: int, elapsed_s: float) -> bool:
        playing = self._playing()
        if len(playing) < self.plan.min_players:
            return True
        if self.plan.steps is not None:
            kinds = [kind for kind in self.plan.rounds.kinds if kind in LOADED]
            return not any(self._steps_left(name, kind) for name in playing for kind in kinds)
        enough = rounds >= self.plan.rounds.min_rounds
        return enough and elapsed_s >= self.plan.turns_s * len(self.players)

    def _playing(self) -> list[Name]:
        """The players that can take a turn."""
        return [name for name in self.players if name not in self.ended]

    def _steps_left(self, name: Name, kind: TurnKind) -> int:
        return (self.plan.steps or 0) - self.steps_taken[name, kind]

    def _take_round(self, kinds: Sequence[TurnKind], number: int) -> None:
        for name, kind in order_of_round(self._playing(), kinds, self.rng):
            if name not in self.players or name in self.ended:
                continue
            command = self._command(name, kind, number)
            if command.steps == 0:
                continue
            with self.losing(name):
                result = self.players[name].turn(command)
                if result.ended:
                    self.ended.add(name)
                taken = command if result.steps is None else replace(command, steps=result.steps)
                self._add(TakenTurn(name, number, taken, result))

    def _add(self, turn: TakenTurn[Name]) -> None:
        name, command = turn.player, turn.command
        self.turns.append(turn)
        self.steps_taken[name, command.kind] += command.steps
        if command.kind in LOADED and command.steps:  # a script may have ended at once
            recent_s = self.recent_s.setdefault(name, deque(maxlen=RECENT_TURNS))
            recent_s.append(turn.result.elapsed_s / command.steps)

    def _command(self, name: Name, kind: TurnKind, number: int) -> TakeTurn:
        ready = self.ready[name]
        recent_s = tuple(self.recent_s.get(name, ()))
        steps = steps_per_turn(ready, self.plan.rounds, self.plan.turns_s, recent_s)
        if self.plan.steps is not None and kind in LOADED:
            steps = min(steps, self._steps_left(name, kind))
        return TakeTurn(kind, steps, cores_of_round(ready, self.plan.cores, number))
