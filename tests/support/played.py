"""Made-up answers of players, facts and generations, none of which takes real time."""

from collections.abc import Mapping, Sequence
from typing import Any

from stepbench.config.turns import PlayerFacts, Ready, TakeTurn, TurnKind, TurnResult
from stepbench.process.job import Outcome
from stepbench.scheduling.generation import Played
from stepbench.scheduling.rounds import TakenTurn
from stepbench_reports.schema.case_facts import AppliedSettings, ClockFacts, DataFacts, ModelFacts
from stepbench_reports.schema.machine_use import MachineUse
from stepbench_reports.schema.measurement import LoaderFacts, MemoryFacts, Operations, WarmUpFacts


def ready(step_s: float = 0.001, **values: Any) -> Ready:
    """A player that has warmed up."""
    given: dict[str, Any] = {"prefetched_steps": 0, "threads": 2, "workers": 0, **values}
    warm_up = WarmUpFacts(steps=5, elapsed_s=0.3, steady=True, step_s=step_s)
    return Ready(warm_up, step_s, **given)


def use(**values: Any) -> MachineUse:
    """The machine's state; quiet, but for what is given."""
    given = {
        "others": 0.0, "steal": 0.0, "pressure": None, "cpu_per_wall": 1.0,
        "involuntary_switches": 0, **values,
    }  # fmt: skip
    return MachineUse(**given)


def facts() -> PlayerFacts:
    """The facts of some case."""
    return PlayerFacts(
        data=DataFacts(name="Data", origin="user", length=64),
        model=ModelFacts(name="Linear", parameters=18, trainable=18),
        settings=AppliedSettings(
            threads=2,
            interop_threads=1,
            seed=0,
            deterministic=False,
            float32_matmul_precision="highest",
            cudnn_benchmark=False,
        ),
        clock=ClockFacts(name="clock", resolution_s=1e-9),
        first_step_s=0.5,
        loader=LoaderFacts(
            start_s=0.1, restart_s=0.1, samples_per_s=100.0, batches=10, interference=False, ready=0
        ),
        compile=None,
        memory=MemoryFacts(host_peak_bytes=10**8),
        operations=Operations(flops=100, bytes=100, operators=10),
    )


def laps(step: Sequence[float], **phases: Sequence[float]) -> dict[str, list[float]]:
    """A track of laps: those of whole steps, and of phases."""
    return {**{name: list(values) for name, values in phases.items()}, "step": list(step)}


def turn(
    player: Any, kind: TurnKind, steps: int, elapsed_s: float, *, number: int = 0, **result: Any
) -> TakenTurn[Any]:
    """A turn that was taken.

    Args:
        player: The player.
        kind: The kind of turn.
        steps: The number of steps.
        elapsed_s: The duration, seconds.
        number: The index of the round.
        result: Further attributes of the result.
    """
    given: dict[str, Any] = {"machine_use": use(), "run_delay_s": 0.0, **result}
    return TakenTurn(player, number, TakeTurn(kind, steps), TurnResult(elapsed_s, **given))


def generation(
    turns: Sequence[TakenTurn[Any]],
    number: int = 0,
    *,
    lost: Mapping[Any, Outcome] | None = None,
    elapsed_s: float = 1.0,
) -> Played[Any, Any]:
    """A generation with turns, of the players that took them.

    Args:
        turns: The turns.
        number: The generation's index.
        lost: The players that were lost.
        elapsed_s: The duration, seconds.
    """
    players = dict.fromkeys(turn.player for turn in turns)
    return Played(
        number=number,
        ready={player: ready() for player in players},
        turns=tuple(turns),
        facts={player: facts() for player in players} if number == 0 else {},
        lost=lost or {},
        deferred=(),
        start_s=dict.fromkeys(players, 0.1),
        elapsed_s=elapsed_s,
    )
