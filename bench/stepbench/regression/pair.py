"""A pair: base and head alive at once, taking turns. Requests and results, without torch.

`docs/regression.md` describes the file of pairs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stepbench.config.requests import Request
from stepbench.interference.watch import Disturbance
from stepbench.regression.tree import Tree

SIDES = ("base", "head")
ORDERS = (("base", "head", "head", "base"), ("head", "base", "base", "head"))
"""The two orders of four turns, chosen by a coin's toss each time. A steady drift meets both sides
alike in either."""


@dataclass(frozen=True)
class SideRequest:
    """A side of a pair.

    Attributes:
        tree: The side's files.
        request: The case, and the settings that it runs under.
    """

    tree: Tree
    request: Request


@dataclass(frozen=True)
class Tracing:
    """A trace to take of a side.

    Attributes:
        request: The case, and the settings that it runs under.
        scratch: The directory for the trace.
    """

    request: Request
    scratch: Path


@dataclass(frozen=True)
class Survey:
    """The survey of a side, before anything is measured.

    Attributes:
        devices: The devices present, and the model of each.
        problems: The reason why a case cannot be measured, by the case's id.
        packages: The installed packages that the workloads import.
        modules: The number of the repository's modules that came from the side's own tree.
        foreign: The modules of the repository that came from elsewhere.
    """

    devices: Mapping[str, str]
    problems: Mapping[str, str]
    packages: tuple[str, ...]
    modules: int
    foreign: tuple[str, ...]


@dataclass(frozen=True)
class Turns:
    """The number and length of the turns of a pair.

    Attributes:
        seconds: The shortest turn: long enough for the caches to be the side's own, and short
            enough for a burst of noise to meet both sides.
        steps: The smallest number of steps of a turn.
        total_s: The length of all turns together, seconds. The remaining noise is within pairs,
            not between them: twice as long lowers the spread by a factor of 1.4.
        least_rounds: The smallest number of rounds of four turns.
    """

    seconds: float = 0.03
    steps: int = 2
    total_s: float = 2.0
    least_rounds: int = 4


@dataclass(frozen=True)
class PairRequest:
    """A pair to take.

    Attributes:
        sides: The sides by name.
        seed: The seed of the order of the turns.
        turns: The number and length of the turns.
    """

    sides: Mapping[str, SideRequest]
    seed: int
    turns: Turns = Turns()


@dataclass(frozen=True)
class Turn:
    """A turn: the steps of one side while the other waited. Seconds are totals over the steps.

    Attributes:
        side: `base` or `head`.
        steps: The number of steps.
        elapsed_s: Seconds by the clock of the work: the device's, if it has one.
        phases_s: Seconds by phase.
    """

    side: str
    steps: int
    elapsed_s: float
    phases_s: Mapping[str, float]


@dataclass(frozen=True)
class Ended:
    """The facts of a side after its last turn.

    Attributes:
        host_peak_bytes: The peak memory of the side's process tree.
        device_peak_bytes: The device's peak memory; `None` where the device does not record it.
        compile: Facts about compilation, as in a measurement; `None` in eager cases.
        modules: The number of the repository's modules that came from the side's own tree.
        foreign: The modules of the repository that came from elsewhere.
        packages: The installed packages that the side had to import.
    """

    host_peak_bytes: int
    device_peak_bytes: int | None
    compile: Mapping[str, Any] | None
    modules: int
    foreign: tuple[str, ...]
    packages: tuple[str, ...]


@dataclass(frozen=True)
class TakenPair:
    """A pair that was taken.

    Attributes:
        turns: The turns in the order in which they were taken, four to a round.
        sides: The facts of each side after its last turn, by name.
        disturbance: The use of the machine by others.
        elapsed_s: Seconds that the pair took, with building and warm-up.
    """

    turns: tuple[Turn, ...]
    sides: Mapping[str, Ended]
    disturbance: Disturbance
    elapsed_s: float

    def to_json(self) -> dict[str, Any]:
        """The pair's line in the check's directory: figures in the order of the turns."""
        return {
            "turns": {
                "side": [turn.side for turn in self.turns],
                "steps": [turn.steps for turn in self.turns],
                "elapsed_s": [round(turn.elapsed_s, 9) for turn in self.turns],
                "phases_s": {
                    phase: [round(turn.phases_s.get(phase, 0.0), 9) for turn in self.turns]
                    for phase in dict.fromkeys(p for turn in self.turns for p in turn.phases_s)
                },
            },
            "sides": {side: asdict(ended) for side, ended in self.sides.items()},
            "disturbance": asdict(self.disturbance),
            "disturbed": self.disturbance.disturbed,
            "elapsed_s": self.elapsed_s,
        }


@dataclass(frozen=True)
class Failed:
    """A side that failed, and the pair with it.

    Attributes:
        side: `base` or `head`.
        reason: One sentence.
        detail: A traceback; `None` where there is none.
    """

    side: str
    reason: str
    detail: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The pair's line in the check's directory."""
        return {"failed": asdict(self)}


class SideError(Exception):
    """A side failed.

    Attributes:
        failed: The side and the reason.
    """

    def __init__(self, side: str, reason: str, detail: str | None = None) -> None:
        super().__init__(side, reason, detail)
        self.failed = Failed(side, reason, detail)
