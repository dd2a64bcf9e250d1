"""Players without processes, whose turns move a clock of their own."""

import random
from collections.abc import Callable, Mapping
from typing import Any, Self

from stepbench.config.turns import PlayerFacts, Ready, TakeTurn, TurnKind, TurnResult
from stepbench.process.job import Outcome
from stepbench.scheduling.player import Player, PlayerLostError
from stepbench_reports.schema.status import Status
from support import played

START_S = 0.25
"""The time in which a player starts, seconds."""


class Stage:
    """Starts fake players, and keeps what happened.

    Attributes:
        now_s: The time, seconds.
        events: The events: the player's name, and `start`, `prepare`, a kind of turn, `finish` or
            `exit`.
        commands: The commands of all turns, by player.

    Args:
        ready: The answers of players after their warm-up, by name; others take 1 ms a step.
        fail: By player and event, the status with which the player is lost there.
    """

    def __init__(
        self,
        ready: Mapping[str, Ready] | None = None,
        fail: Mapping[tuple[str, str], Status] | None = None,
    ) -> None:
        self.now_s = 0.0
        self.events: list[tuple[str, str]] = []
        self.commands: dict[str, list[TakeTurn]] = {}
        self.thorough: list[bool] = []
        self.ready = dict(ready or {})
        self.fail = dict(fail or {})
        self.alive: set[str] = set()
        self.result: Callable[[str, TakeTurn], TurnResult] = self._result

    def perf_counter(self) -> float:
        """The time, for modules that read it with `time.perf_counter`."""
        return self.now_s

    def start(self, name: str) -> Player[PlayerFacts]:
        """Starts a player."""
        self.now_s += START_S
        self.note(name, "start")
        player: Any = FakePlayer(self, name)
        return player  # type: ignore[no-any-return]  # as good as one

    def note(self, name: str, event: str) -> None:
        """Notes an event, at which the player may be lost."""
        self.events.append((name, event))
        status = self.fail.get((name, event))
        if status is not None:
            raise PlayerLostError(Outcome(status, reason=f"{name} {event}"))

    def count(self, event: str) -> int:
        """The number of events of a kind."""
        return sum(each == event for _, each in self.events)

    def _result(self, name: str, command: TakeTurn) -> TurnResult:
        elapsed_s = command.steps * self.ready.get(name, played.ready()).step_s
        return TurnResult(elapsed_s)


class FakePlayer:
    """A player without a process."""

    start_s = START_S

    def __init__(self, stage: Stage, name: str) -> None:
        self._stage = stage
        self._name = name
        self.pid = len(stage.events)

    def __enter__(self) -> Self:
        """Enters the stage."""
        self._stage.alive.add(self._name)
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the stage."""
        self._stage.alive.remove(self._name)

    def prepare(self, *, thorough: bool) -> Ready:
        """Answers with what the stage has for it."""
        self._stage.thorough.append(thorough)
        self._stage.note(self._name, "prepare")
        return self._stage.ready.get(self._name, played.ready())

    def turn(self, command: TakeTurn) -> TurnResult:
        """Takes a turn, which moves the stage's clock."""
        self._stage.note(self._name, command.kind)
        self._stage.commands.setdefault(self._name, []).append(command)
        result = self._stage.result(self._name, command)
        self._stage.now_s += result.elapsed_s
        return result

    def finish(self, *, thorough: bool) -> PlayerFacts | None:
        """Ends, with facts if thorough."""
        self._stage.note(self._name, "finish")
        return played.facts() if thorough else None


def steps_of(stage: Stage, name: str, kind: TurnKind) -> list[int]:
    """The numbers of steps in a player's turns of a kind."""
    return [command.steps for command in stage.commands[name] if command.kind is kind]


def generator(seed: int) -> random.Random:
    """A source of randomness that repeats itself."""
    return random.Random(seed)  # noqa: S311  # not for security
