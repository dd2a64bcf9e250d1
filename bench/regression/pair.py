"""A pair: base and head alive at once, taking turns. What was asked for, and what came of it.

Knows no torch. `docs/regression.md` describes how pairs are kept.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.disturbance import Disturbance
from bench.regression.tree import Tree
from bench.request import Request

SIDES = ("base", "head")
ORDERS = (("base", "head", "head", "base"), ("head", "base", "base", "head"))
"""In which the sides take their turns; which of the two is a coin's toss each time. A drift that
goes on evenly meets both sides alike in either."""


@dataclass(frozen=True)
class SideRequest:
    """What a side is to be.

    Attributes:
        tree: Its files.
        request: The case, and the settings that it runs under.
    """

    tree: Tree
    request: Request


@dataclass(frozen=True)
class Tracing:
    """A trace that is to be taken of a side.

    Attributes:
        request: The case, and the settings that it runs under.
        scratch: A directory to write it to.
    """

    request: Request
    scratch: Path


@dataclass(frozen=True)
class Survey:
    """What was found of a side before anything was measured.

    Attributes:
        devices: Those that there are, with their names.
        problems: By the id of a case that cannot be measured, why.
        packages: The installed packages that the workloads import.
        modules: How many of the repository's modules came from the side's own tree.
        foreign: Those that came from elsewhere.
    """

    devices: Mapping[str, str]
    problems: Mapping[str, str]
    packages: tuple[str, ...]
    modules: int
    foreign: tuple[str, ...]


@dataclass(frozen=True)
class Turns:
    """How sides take turns.

    Attributes:
        seconds: How long a turn lasts, at least: long enough for what the other side left in the
            caches to matter little, and short enough for a burst of noise to meet both sides.
        steps: How many steps it has, at least.
        total_s: How long all turns last together. What is left of the noise is within pairs, and
            not from one to the next: twice as long lowers the spread by a factor of 1.4.
        least_rounds: How often the four turns of an order are taken at least.
    """

    seconds: float = 0.03
    steps: int = 2
    total_s: float = 2.0
    least_rounds: int = 4


@dataclass(frozen=True)
class PairRequest:
    """What a pair is to be.

    Attributes:
        sides: What each side is, by its name.
        seed: Of the order of the turns.
        turns: How they are taken.
    """

    sides: Mapping[str, SideRequest]
    seed: int
    turns: Turns = Turns()


@dataclass(frozen=True)
class Turn:
    """What a side did while the other waited. Seconds are totals over its steps.

    Attributes:
        side: Which side.
        steps: How many steps.
        elapsed_s: By the clock that tells how long the work took.
        phases_s: By phase.
    """

    side: str
    steps: int
    elapsed_s: float
    phases_s: Mapping[str, float]


@dataclass(frozen=True)
class Ended:
    """What a side told once the turns were over.

    Attributes:
        host_peak_bytes: The memory of its process tree.
        device_peak_bytes: The device's peak; `None` where it keeps none.
        compile: What was compiled, as in a measurement; `None` in eager cases.
        modules: How many of the repository's modules it had loaded from its own tree.
        foreign: Those that it had loaded from elsewhere.
        packages: The installed packages that it had to import, and the next server may import.
    """

    host_peak_bytes: int
    device_peak_bytes: int | None
    compile: Mapping[str, Any] | None
    modules: int
    foreign: tuple[str, ...]
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """What a pair gave.

    Attributes:
        turns: In the order in which they were taken, four to a round.
        sides: What each side told at its end, by its name.
        disturbance: What else went on on the machine.
        elapsed_s: How long all of it took.
    """

    turns: tuple[Turn, ...]
    sides: Mapping[str, Ended]
    disturbance: Disturbance
    elapsed_s: float

    def to_json(self) -> dict[str, Any]:
        """For the check's directory: a list of figures for each phase, in the order of turns."""
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
    """A side that came to no good end, and the pair with it.

    Attributes:
        side: Which.
        reason: One sentence.
        detail: A traceback, or nothing.
    """

    side: str
    reason: str
    detail: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For the check's directory."""
        return {"failed": asdict(self)}


class SideError(Exception):
    """A side came to no good end.

    Attributes:
        failed: Which, and why.
    """

    def __init__(self, side: str, reason: str, detail: str | None = None) -> None:
        super().__init__(side, reason, detail)
        self.failed = Failed(side, reason, detail)
