"""What a check has recorded, read back: its question, its pairs, its facts.

`docs/regression.md` describes the files.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepbench_reports.errors import ReportError
from stepbench_reports.schema.phases import STEP

CHECK, PAIRS, FACTS = "check.json", "pairs.jsonl", "facts.jsonl"
SCHEMA = 1
SIDES = ("base", "head")
SCREEN, CONFIRM = "screen", "confirm"
Figures = Mapping[str, float]
"""By row: seconds of the step and of each phase."""


@dataclass(frozen=True)
class Pair:
    """A pair that was taken.

    Attributes:
        case: The case's id.
        round: All cases' pairs of one round were forked from one process.
        stage: `screen` or `confirm`.
        base: Seconds by row, of the faster half of base's turns.
        head: Likewise of head's.
        disturbed: Whether others kept the machine too busy for it to count.
        told: What each side told at its end.
    """

    case: str
    round: int
    stage: str
    base: Figures
    head: Figures
    disturbed: bool
    told: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def changes(self) -> dict[str, float]:
        """Head's figures less base's, as a share of the step; above 0 where head is slower.

        The step that they are a share of is the geometric mean of both, so that swapping the sides
        changes nothing but the sign.
        """
        step = float(np.sqrt(self.base[STEP] * self.head[STEP]))
        rows = [row for row in self.base if row in self.head]
        return {row: (self.head[row] - self.base[row]) / step for row in rows}


@dataclass(frozen=True)
class Failure:
    """A pair that came to nothing.

    Attributes:
        case: The case's id.
        side: Which side failed.
        reason: One sentence.
        detail: A traceback, or nothing.
    """

    case: str
    side: str
    reason: str
    detail: str | None


@dataclass(frozen=True)
class Check:
    """A check, as far as it got.

    Attributes:
        path: Its directory.
        question: What `check.json` holds.
        pairs: In the order in which they were taken, those that were disturbed included.
        failures: Pairs that came to nothing.
        facts: What `facts.jsonl` holds, in order.
    """

    path: Path
    question: Mapping[str, Any]
    pairs: tuple[Pair, ...]
    failures: tuple[Failure, ...]
    facts: tuple[Mapping[str, Any], ...]

    @property
    def smallest(self) -> float:
        """The smallest effect that is looked for, a share of the step."""
        return float(self.question["smallest"])

    @property
    def cases(self) -> tuple[str, ...]:
        """The ids of the cases that both sides have, in order."""
        return tuple(self.question["cases"])

    def kept(self, case: str, stage: str) -> list[Pair]:
        """A case's pairs of a stage that count, in order."""
        return [p for p in self.pairs if p.case == case and p.stage == stage and not p.disturbed]

    def found(self, kind: str) -> Iterator[Mapping[str, Any]]:
        """The facts of one kind."""
        return (fact for fact in self.facts if fact["kind"] == kind)

    def last(self, kind: str) -> Iterator[Mapping[str, Any]]:
        """Likewise, of the last time that the check was begun or gone on with."""
        begun = [n for n, fact in enumerate(self.facts) if fact["kind"] == "begin"]
        return (fact for fact in self.facts[max(begun, default=0) :] if fact["kind"] == kind)


def load(path: Path | str) -> Check:
    """Reads a check's directory.

    Raises:
        ReportError: There is no check there.
    """
    place = Path(path)
    try:
        question = json.loads((place / CHECK).read_text())
    except (OSError, ValueError):
        raise ReportError(
            f"{place}: holds no check (it has no {CHECK}); name a directory that "
            f"stepbench regression made"
        ) from None
    if question.get("schema") != SCHEMA:
        raise ReportError(f"{place}: its {CHECK} has schema {question.get('schema')}, not {SCHEMA}")
    entries = list(_lines(place / PAIRS))
    return Check(
        place,
        question,
        tuple(pair(entry) for entry in entries if "turns" in entry),
        tuple(Failure(e["case"], **e["failed"]) for e in entries if "failed" in e),
        tuple(_lines(place / FACTS)),
    )


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """What each line holds; one that a kill cut off is passed over."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def pair(entry: Mapping[str, Any]) -> Pair:
    """A pair from its line."""
    turns = entry["turns"]
    base, head = (faster_half(turns, side) for side in SIDES)
    return Pair(
        entry["case"],
        entry["round"],
        entry["stage"],
        base,
        head,
        bool(entry["disturbed"]),
        entry["sides"],
    )


def faster_half(turns: Mapping[str, Any], side: str) -> dict[str, float]:
    """Seconds of a step and its phases: means over the faster half of a side's turns.

    What others do on the machine makes turns longer and never shorter, so that the faster half is
    what tells most of the side itself. The phases' figures come from the same turns, and so add up
    to the step's.

    Args:
        turns: A pair's turns as they are recorded, a list for each figure.
        side: `base` or `head`.
    """
    own = np.asarray([each == side for each in turns["side"]])
    steps = np.asarray(turns["steps"], dtype=np.float64)[own]

    def per_step(values: list[float]) -> NDArray[np.float64]:
        totals: NDArray[np.float64] = np.asarray(values, dtype=np.float64)[own]
        return np.asarray(totals / steps, dtype=np.float64)

    step = per_step(turns["elapsed_s"])
    fastest = np.argsort(step, kind="stable")[: max(1, round(len(step) / 2))]
    phases = {name: per_step(values) for name, values in turns["phases_s"].items()}
    return {name: float(values[fastest].mean()) for name, values in {STEP: step, **phases}.items()}
