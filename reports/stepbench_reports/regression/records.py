"""Reads what a check has recorded: its specification, its pairs, its facts.

`docs/regression.md` describes the files.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from stepbench_reports.errors import ReportError
from stepbench_reports.schema.check import (
    SCHEMA,
    SIDES,
    BeginFact,
    CheckSpec,
    Fact,
    FailedPairLine,
    PairLine,
    SideEnd,
    SideName,
    Stage,
    TurnSeries,
)
from stepbench_reports.schema.files import (
    CHECK,
    FACTS,
    PAIRS,
    DamageError,
    decode,
    is_cut_off,
    read_bytes,
    read_record,
)
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.record import Record

Figures = Mapping[str, float]
"""Seconds of the step and of each phase, by name."""
Line = TypeVar("Line")


@dataclass(frozen=True)
class Pair:
    """A measured pair: turns of base and head in one case.

    Attributes:
        case: The case's id.
        round: The number of the round, which has at most one pair of each case.
        stage: `screen` or `confirm`.
        base: Mean seconds of the step and its phases, over the faster half of base's turns.
        head: Mean seconds of the step and its phases, over the faster half of head's turns.
        interference: True if interference differed too much between the sides for the pair to
            count.
        sides: Facts of each side after its last turn.
        server: The number of the server from which both sides were forked.
        together: False if the sides were alive one at a time.
    """

    case: str
    round: int
    stage: Stage
    base: Figures
    head: Figures
    interference: bool
    sides: Mapping[SideName, SideEnd] = field(default_factory=dict)
    server: int = 1
    together: bool = True

    @property
    def changes(self) -> dict[str, float]:
        """Head's seconds less base's, as a share of the step; above 0 if head is slower.

        The step is the geometric mean of both sides' steps, so that swapping the sides changes
        only the sign.
        """
        step = float(np.sqrt(self.base[STEP] * self.head[STEP]))
        rows = [row for row in self.base if row in self.head]
        return {row: (self.head[row] - self.base[row]) / step for row in rows}


@dataclass(frozen=True)
class Check:
    """A check with its records so far.

    Attributes:
        path: The check's directory.
        spec: The specification of the comparison: `check.json`.
        pairs: The measured pairs in order, including those that do not count (`interference`).
        failures: Pairs in which a side failed.
        facts: The lines of `facts.jsonl`, in order.
        problems: Records that could not be read, a sentence each.
    """

    path: Path
    spec: CheckSpec
    pairs: tuple[Pair, ...] = ()
    failures: tuple[FailedPairLine, ...] = ()
    facts: tuple[Fact, ...] = ()
    problems: tuple[str, ...] = ()

    def min_effect(self, case: str, what: str) -> float:
        """The smallest effect that the check looks for in a row, a share of the step.

        Args:
            case: The case's id.
            what: `step` or a phase.
        """
        share = self.spec.min_effect
        for effect in self.spec.min_effects:
            if effect.rows == what or fnmatchcase(case, effect.rows):
                share = effect.share
        return share

    @property
    def cases(self) -> tuple[str, ...]:
        """The ids of the cases that both sides can run, in order."""
        return self.spec.cases

    def valid_pairs(self, case: str, stage: Stage) -> list[Pair]:
        """A case's pairs of a stage, in order, without those discarded for interference."""
        return [p for p in self.pairs if p.case == case and p.stage == stage and not p.interference]

    def shown_pairs(self, case: str, stage: Stage) -> list[Pair]:
        """A case's pairs of a stage from which figures are shown: all, if none of them counts."""
        discarded = [p for p in self.pairs if p.case == case and p.stage == stage]
        return self.valid_pairs(case, stage) or discarded

    def facts_of(self, kind: type[Line]) -> Iterator[Line]:
        """The facts of one kind."""
        return (fact for fact in self.facts if isinstance(fact, kind))

    def facts_since_begin(self, kind: type[Line]) -> Iterator[Line]:
        """The facts of one kind since the check was last begun or resumed."""
        begins = [n for n, fact in enumerate(self.facts) if isinstance(fact, BeginFact)]
        since_begin = self.facts[max(begins, default=0) :]
        return (fact for fact in since_begin if isinstance(fact, kind))


def load(path: Path | str) -> Check:
    """Reads a check's directory.

    Raises:
        ReportError: The directory holds no check, or its specification cannot be used.
    """
    directory = Path(path)
    if not (directory / CHECK).exists():
        raise ReportError(
            f"{directory}: holds no check (it has no {CHECK}); give a directory that "
            f"stepbench regression wrote"
        )
    try:
        spec = read_record(directory / CHECK, CheckSpec, SCHEMA)
    except (DamageError, FileNotFoundError) as error:
        remedy = "" if isinstance(error, DamageError) and error.newer else "; start a new check"
        raise ReportError(f"{error}{remedy}") from None
    problems: list[str] = []
    lines = [*_lines(directory / PAIRS, _pair_line, problems)]
    facts = tuple(_lines(directory / FACTS, _fact, problems))
    return Check(
        path=directory,
        spec=spec,
        pairs=tuple(pair(line) for line in lines if isinstance(line, PairLine)),
        failures=tuple(line for line in lines if isinstance(line, FailedPairLine)),
        facts=facts,
        problems=tuple(problems),
    )


def _lines(file: Path, parse: Callable[[str, bytes], Line], problems: list[str]) -> Iterator[Line]:
    """Reads a file line by line, and skips a last line that a kill cut off.

    Args:
        file: The file.
        parse: Makes a record from a line's name and content, or raises `DamageError`.
        problems: Gets a sentence for an unreadable file, and for each other damaged line.
    """
    try:
        content = read_bytes(file)
    except FileNotFoundError:
        return
    except DamageError as error:
        problems.append(f"{file.name} {error.fault}; the file is ignored.")
        return
    lines = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            yield parse(f"{file.name}, line {number}", line)
        except DamageError as error:
            if number < len(lines) or not is_cut_off(line):
                problems.append(f"{error}; the line is ignored.")


class _AnyPairLine(Record, frozen=True, kw_only=True):
    failed: Any = None


def _pair_line(name: str, content: bytes) -> PairLine | FailedPairLine:
    if decode(name, content, _AnyPairLine).failed is not None:
        return decode(name, content, FailedPairLine)
    return decode(name, content, PairLine)


def _fact(name: str, content: bytes) -> Fact:
    return decode(name, content, cast("type[Fact]", Fact))


def pair(line: PairLine) -> Pair:
    """Converts a line of `pairs.jsonl` to a pair."""
    base, head = (faster_half(line.turns, side) for side in SIDES)
    return Pair(
        case=line.case,
        round=line.round,
        stage=line.stage,
        base=base,
        head=head,
        interference=line.interference,
        sides=line.sides,
        server=line.server,
        together=line.together,
    )


def faster_half(turns: TurnSeries, side: SideName) -> dict[str, float]:
    """Mean seconds of a step and its phases, over the faster half of a side's turns.

    Interference only makes turns longer, so the faster half shows the side's speed best. Phases
    and step are means over the same turns, so the phases add up to the step.

    Args:
        turns: A pair's turns.
        side: `base` or `head`.
    """
    of_side = np.asarray([name == side for name in turns.side])
    steps = np.asarray(turns.steps, dtype=np.float64)[of_side]

    def per_step(values: Sequence[float]) -> NDArray[np.float64]:
        totals: NDArray[np.float64] = np.asarray(values, dtype=np.float64)[of_side]
        return np.asarray(totals / steps, dtype=np.float64)

    step = per_step(turns.elapsed_s)
    fastest = np.argsort(step, kind="stable")[: max(1, round(len(step) / 2))]
    phases = {name: per_step(values) for name, values in turns.phases_s.items()}
    return {name: float(values[fastest].mean()) for name, values in {STEP: step, **phases}.items()}
