"""A link to a player in this process: commands from a script, and what the player answers."""

from dataclasses import dataclass, field
from typing import Any

from stepbench.config.requests import Request
from stepbench.config.turns import (
    Command,
    Finish,
    PlayerFacts,
    Prepare,
    Ready,
    TakeTurn,
    TurnKind,
    TurnResult,
)
from stepbench.measurement.player import play


class ScriptedLink:
    """Gives the commands of a script, and keeps what the player says.

    Args:
        commands: The commands, in order.
    """

    def __init__(self, *commands: Command) -> None:
        self._commands = iter(commands)
        self.activities: list[str] = []
        self.answers: list[Any] = []

    def __call__(self, activity: str) -> None:
        """Keeps an activity."""
        self.activities.append(activity)

    def next_command(self) -> Any:
        """The next command of the script."""
        return next(self._commands)

    def answer(self, value: Any) -> None:
        """Keeps an answer."""
        self.answers.append(value)


@dataclass(frozen=True)
class Performance:
    """What a player did.

    Attributes:
        ready: The answer to `Prepare`.
        turns: The answers to the turns.
        facts: The facts at the end.
        activities: The activities.
    """

    ready: Ready
    turns: list[TurnResult]
    facts: PlayerFacts
    activities: list[str] = field(default_factory=list)


def perform(request: Request, *turns: tuple[TurnKind, int]) -> Performance:
    """Plays a case with some turns, thoroughly.

    Args:
        request: The case.
        turns: The kind and the number of steps of each turn.
    """
    commands = [TakeTurn(kind, steps) for kind, steps in turns]
    link = ScriptedLink(Prepare(thorough=True), *commands, Finish(thorough=True))
    facts = play(link, request)
    assert facts is not None
    ready, *results = link.answers
    return Performance(ready, results, facts, link.activities)
