"""Commands to a player, a case's live process, and the player's answers; torch is not needed."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from stepbench_reports.schema.case_facts import AppliedSettings, ClockFacts, DataFacts, ModelFacts
from stepbench_reports.schema.compilation import Compilation
from stepbench_reports.schema.machine_use import MachineUse
from stepbench_reports.schema.measurement import LoaderFacts, MemoryFacts, Operations, WarmUpFacts
from stepbench_reports.schema.script import ScriptFacts

Track = Mapping[str, list[float]]
"""Laps in seconds: a list with a lap for each step, by phase, and for the whole step."""
UNTIMED_STEPS = 2
"""The steps at the begin of a turn that are not timed: caches hold another player's data. Slow
steps hardly notice, and are all timed, but for those whose batches were prepared before the turn.
"""


class TurnKind(StrEnum):
    """The kind of work that a player does in a turn."""

    LAPPED = "lapped"
    """Training steps with a lap at each phase boundary."""
    BARE = "bare"
    """Training steps as the plain loop runs them, timed as a whole."""
    UNLOADED = "unloaded"
    """Lapped steps on one batch, again and again: nothing is loaded."""
    TINY = "tiny"
    """Lapped steps on one batch of as few samples as the model accepts."""


@dataclass(frozen=True)
class Prepare:
    """Builds the case, takes the first step and warms up.

    Attributes:
        thorough: True also measures the loader alone.
    """

    thorough: bool


@dataclass(frozen=True)
class Ready:
    """The answer to `Prepare`.

    Attributes:
        warm_up: The facts of the warm-up.
        step_s: The rough duration of a step, seconds.
        prefetched_steps: The number of steps for which loader workers keep batches ready.
        threads: The number of threads that compute within an operator.
        workers: The number of loader workers.
    """

    warm_up: WarmUpFacts
    step_s: float
    prefetched_steps: int
    threads: int
    workers: int


@dataclass(frozen=True)
class TakeTurn:
    """Runs a number of steps while all other players wait.

    Attributes:
        kind: The kind of work.
        steps: The number of steps.
        cores: The cores that the player may use; empty for all cores that the run may use.
    """

    kind: TurnKind
    steps: int
    cores: tuple[int, ...] = ()


@dataclass(frozen=True)
class TurnResult:
    """The answer to `TakeTurn`.

    Attributes:
        elapsed_s: The time until all device work of the turn is done, seconds.
        host: The laps by the host's clock; empty in a bare turn.
        device: The laps by the device's clock; `None` if the device is synchronous.
        micro: The laps of the micro-batches, for each phase a row for each step.
        machine_use: The machine's state during the turn; `None` if the turn was not taken.
        run_delay_s: The time that the player's threads were runnable and had no core, seconds;
            `None` if the system does not tell.
        probe_s: The duration of a probe of the machine's speed just before the turn, seconds.
        compiled: True if something was compiled during the turn.
        samples: The number of samples in a batch of a tiny turn, or 0.
        reason: The reason why the turn could not be taken; all other figures are then empty.
        steps: The number of steps that were taken; `None` for as many as were commanded.
        ended: True if the player's work has ended by itself, as a script does; it takes no more
            turns.
    """

    elapsed_s: float = 0.0
    host: Track | None = None
    device: Track | None = None
    micro: Mapping[str, list[list[float]]] | None = None
    machine_use: MachineUse | None = None
    run_delay_s: float | None = None
    probe_s: float | None = None
    compiled: bool = False
    samples: int = 0
    reason: str | None = None
    steps: int | None = None
    ended: bool = False


@dataclass(frozen=True)
class Finish:
    """Ends the player's job, whose result are the facts of the case.

    Attributes:
        thorough: True takes the passes that would disturb turns: memory, operations, the loader's
            restart.
    """

    thorough: bool


Command = Prepare | TakeTurn | Finish


@dataclass(frozen=True)
class PlayerFacts:
    """The facts of a case apart from its turns, as `Findings` records them.

    Attributes:
        data: The data that the case trained on.
        model: The model that was trained.
        settings: The settings in force.
        clock: The clock that measured the laps.
        first_step_s: The duration of the very first step, seconds.
        loader: The loader, measured alone; without the unloaded step, which turns measure. `None`
            for a script.
        compile: The compilation; `None` for eager cases.
        memory: Peak memory.
        operations: The operations of one step.
        script: What was recognised of a script; `None` for a workload.
    """

    data: DataFacts
    model: ModelFacts
    settings: AppliedSettings
    clock: ClockFacts
    first_step_s: float
    loader: LoaderFacts | None
    compile: Compilation | None
    memory: MemoryFacts
    operations: Operations
    script: ScriptFacts | None = None


class PlayerLink(Protocol):
    """A player's connection to the process that commands its turns."""

    def __call__(self, activity: str) -> None:
        """Reports the current activity, in a few words."""
        ...

    def next_command(self) -> Any:  # noqa: ANN401  # a `Command`
        """Waits for the next command."""
        ...

    def answer(self, value: Any) -> None:  # noqa: ANN401  # `Ready` or `TurnResult`
        """Answers the last command."""
        ...
