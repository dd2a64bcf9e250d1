"""The parent's end of a player: a case's live process, which works only in its turn."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar

from msgspec import structs

from stepbench.config.turns import (
    Command,
    Finish,
    Prepare,
    Ready,
    TakeTurn,
    TurnResult,
)
from stepbench.interference.standstill import StandstillWatch
from stepbench.process.job import Job, Outcome
from stepbench.process.server import Server
from stepbench.process.supervision import ChildEndedError

Facts = TypeVar("Facts")
"""The facts that a player returns at its end."""


class PlayerLostError(Exception):
    """A player has ended before its time.

    Attributes:
        outcome: The outcome of its process.
    """

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason or str(outcome.status))
        self.outcome = outcome


@dataclass(frozen=True)
class Limits:
    """The limits of a player.

    Attributes:
        silence_s: The longest time without a message of the player, seconds.
        on_progress: Called with a few words on the player's current activity.
    """

    silence_s: float
    on_progress: Callable[[str], None]


class Player(Generic[Facts]):
    """A live player. As a context manager, it ends with its process at the exit.

    Args:
        server: The server that starts the process.
        job: The player's job; it obeys the commands of `stepbench.config.turns`.
        limits: The player's limits.
    """

    def __init__(self, server: Server, job: Job, limits: Limits) -> None:
        self._child = server.start(job)
        self._limits = limits

    def __enter__(self) -> Self:
        """Enters a context at whose end the process is gone."""
        return self

    def __exit__(self, *error: object) -> None:
        """Kills the process if it is still alive."""
        self._child.__exit__(*error)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    @property
    def start_s(self) -> float | None:
        """The time in which the process started, seconds; `None` before its first answer."""
        return self._child.start_s

    def prepare(self, *, thorough: bool) -> Ready:
        """Builds the case and warms it up.

        Raises:
            PlayerLostError: The player has ended.
        """
        ready: Ready = self._ask(Prepare(thorough))
        return ready

    def turn(self, command: TakeTurn) -> TurnResult:
        """Has the player take a turn.

        Raises:
            PlayerLostError: The player has ended.
        """
        with StandstillWatch() as watch:
            result: TurnResult = self._ask(command)
        use = result.machine_use
        if use is None or use.suspended is not None or not watch.stood_still:
            return result
        return replace(result, machine_use=structs.replace(use, suspended="machine stood still"))

    def finish(self, *, thorough: bool) -> Facts | None:
        """Ends the player; returns its facts, which a case's player has if `thorough`.

        Raises:
            PlayerLostError: The player failed.
        """
        self._child.send(Finish(thorough))
        return self._facts(thorough=thorough)

    def _facts(self, *, thorough: bool) -> Facts | None:
        """Waits for the player's end; see `finish`."""
        outcome = self._child.outcome(self._limits.silence_s, self._limits.on_progress)
        if outcome.result is None and (thorough or outcome.reason is not None):
            raise PlayerLostError(outcome)
        facts: Facts | None = outcome.result
        return facts

    def _ask(self, command: Command) -> Any:  # noqa: ANN401  # the answer to the command
        self._child.send(command)
        return self._answer()

    def _answer(self) -> Any:  # noqa: ANN401  # the answer to the last command
        try:
            return self._child.answer(self._limits.silence_s, self._limits.on_progress)
        except ChildEndedError as error:
            raise PlayerLostError(error.outcome) from None
