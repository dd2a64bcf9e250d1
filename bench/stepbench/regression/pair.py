"""A pair: base and head, alive at once, take turns. The requests and results, without torch.

`docs/regression.md` describes the file of pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stepbench.config.requests import Request
from stepbench.interference.watch import interferes
from stepbench.regression.tree import Tree
from stepbench_reports.schema.check import (
    FailedPairLine,
    PairLine,
    SideEnd,
    SideFailure,
    SideName,
    Stage,
    TurnOptions,
    TurnSeries,
)
from stepbench_reports.schema.measurement import MachineUse

ORDERS: tuple[tuple[SideName, ...], ...] = (
    ("base", "head", "head", "base"),
    ("head", "base", "base", "head"),
)
"""The two orders of the four turns of a round, one of which is drawn at random for each round. In
both orders, a steady drift affects both sides equally."""


@dataclass(frozen=True)
class SideRequest:
    """A side of a pair.

    Attributes:
        tree: The side's files.
        request: The case and its settings.
    """

    tree: Tree
    request: Request


@dataclass(frozen=True)
class TraceRequest:
    """A trace to take of a side.

    Attributes:
        request: The case and its settings.
        scratch: The directory for the trace.
    """

    request: Request
    scratch: Path


@dataclass(frozen=True)
class Survey:
    """The survey of a side, before anything is measured.

    Attributes:
        devices: The model of each device present, by the device's name.
        problems: The reasons why cases cannot be measured, by the case's id.
        packages: The installed packages that the workloads import.
        modules: The number of the repository's modules that were loaded from the side's tree.
        foreign: The modules of the repository that were loaded from elsewhere.
    """

    devices: Mapping[str, str]
    problems: Mapping[str, str]
    packages: tuple[str, ...]
    modules: int
    foreign: tuple[str, ...]


@dataclass(frozen=True)
class PairRequest:
    """A pair to take.

    Attributes:
        sides: The sides by name.
        seed: The random seed of the order of the turns.
        turns: The number and length of the turns.
    """

    sides: Mapping[SideName, SideRequest]
    seed: int
    turns: TurnOptions


@dataclass(frozen=True)
class Turn:
    """A turn: the steps that one side takes while the opposite side waits.

    Times are totals over the steps.

    Attributes:
        side: `base` or `head`.
        steps: The number of steps.
        elapsed_s: The time by the device's clock, or by the host's if the device has none, seconds.
        phases_s: The time by phase, seconds.
    """

    side: SideName
    steps: int
    elapsed_s: float
    phases_s: Mapping[str, float]


@dataclass(frozen=True)
class TakenPair:
    """A pair that was taken.

    Attributes:
        turns: The turns in the order in which they were taken, four to a round.
        sides: The facts of each side after its last turn, by name.
        machine_use: The interference on the machine during the turns.
        elapsed_s: The time that the pair took, including building and warm-up, seconds.
    """

    turns: tuple[Turn, ...]
    sides: Mapping[SideName, SideEnd]
    machine_use: MachineUse
    elapsed_s: float


class SideError(Exception):
    """A side failed.

    Attributes:
        failed: The side and the reason.
    """

    def __init__(self, side: SideName, reason: str, detail: str | None = None) -> None:
        super().__init__(side, reason, detail)
        self.failed = SideFailure(side=side, reason=reason, detail=detail)


def pair_line(
    result: TakenPair | SideFailure, *, case: str, number: int, stage: Stage
) -> PairLine | FailedPairLine:
    """A pair's line in the check's directory.

    Args:
        result: The taken pair, or the side that failed.
        case: The case's id.
        number: The pair's round.
        stage: The stage that the pair belongs to.
    """
    if isinstance(result, SideFailure):
        return FailedPairLine(case=case, round=number, stage=stage, failed=result)
    return PairLine(
        case=case,
        round=number,
        stage=stage,
        turns=_turn_series(result.turns),
        sides=dict(result.sides),
        machine_use=result.machine_use,
        interference=interferes(result.machine_use),
        elapsed_s=result.elapsed_s,
    )


def _turn_series(turns: Sequence[Turn]) -> TurnSeries:
    """Collects the figures in the order of the turns, rounded to nanoseconds."""
    return TurnSeries(
        side=tuple(turn.side for turn in turns),
        steps=tuple(turn.steps for turn in turns),
        elapsed_s=tuple(round(turn.elapsed_s, 9) for turn in turns),
        phases_s={
            phase: tuple(round(turn.phases_s.get(phase, 0.0), 9) for turn in turns)
            for phase in dict.fromkeys(phase for turn in turns for phase in turn.phases_s)
        },
    )
