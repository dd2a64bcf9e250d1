"""Computes a check's progress: which rows are flagged, and which cases need more pairs.

A *row* is the unit of decision: a case's step, each of the case's phases that takes at least
`LEAST_SHARE` of the step, and the mean over all cases (the suite).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stepbench_reports.regression.records import Check, Pair
from stepbench_reports.regression.statistics import (
    LEAST_PAIRS,
    MOST_PAIRS,
    Screened,
    pairs_to_confirm,
    screen,
)
from stepbench_reports.schema.check import CONFIRM, SCREEN, AloneFact, ScreenedFact, Stage
from stepbench_reports.schema.phases import STEP

SUITE = "suite"
"""The `Row.case` of the row for the mean over all cases."""
LEAST_SHARE = 0.02
"""A phase that takes a smaller share of the step is reported without a verdict."""
MOST_OF_PHASE = 12
"""The most pairs that a phase is given in a stage."""
MOST_FAILURES = 2
"""A case is given up after this number of pairs in which a side failed."""
MORE_DISTURBED = 12
"""A case is given up once its disturbed pairs outnumber its good pairs by more than this."""


@dataclass(frozen=True, order=True)
class Row:
    """The unit of decision: a case's step, one of its phases, or the suite.

    Attributes:
        case: The case's id, or `SUITE`.
        what: `step` or a phase.
    """

    case: str
    what: str

    def __str__(self) -> str:
        """The case and the step or phase, separated by a space."""
        return f"{self.case} {self.what}"


SUITE_ROW = Row(SUITE, STEP)


@dataclass(frozen=True)
class Wanted:
    """The measurements to take next.

    Attributes:
        stage: `screen` or `confirm`.
        cases: The cases, of each of which one pair is taken.
    """

    stage: Stage
    cases: tuple[str, ...]


@dataclass(frozen=True)
class Screening:
    """A check's progress, a pure function of the check's records.

    Attributes:
        check: The check.
    """

    check: Check

    @cached_property
    def cases(self) -> tuple[str, ...]:
        """The cases that are not given up."""
        return tuple(case for case in self.check.cases if self.given_up(case) is None)

    def given_up(self, case: str) -> str | None:
        """The reason why a case is given up; `None` if it is not given up."""
        failed = [failure for failure in self.check.failures if failure.case == case]
        if len(failed) >= MOST_FAILURES:
            return self._why_failed(case) or f"{failed[-1].failed.side}: {failed[-1].failed.reason}"
        pairs = [pair for pair in self.check.pairs if pair.case == case]
        disturbed = sum(pair.disturbed for pair in pairs)
        if disturbed > MORE_DISTURBED + len(pairs) - disturbed:
            return (
                f"the machine was too busy: others disturbed {disturbed} of {len(pairs)} pairs; "
                f"check again when it is idle"
            )
        return None

    def _why_failed(self, case: str) -> str | None:
        """The reason for a case's failed pairs from running each side alone; `None` if unknown."""
        for fact in self.check.found(AloneFact):
            if fact.case == case:
                if fact.base is not None:
                    return f"base: {fact.base}"
                if fact.head is None:
                    return (
                        "each side can run by itself, and both at once cannot: do they share a "
                        "port, a file or a device's memory? Lower --batch-size, or check them apart"
                    )
        return None

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The rows that get a verdict; with several cases, the suite's is the last."""
        found = [Row(case, what) for case in self.cases for what in self._judged(case)]
        return (*found, SUITE_ROW) if len(self.cases) > 1 else tuple(found)

    def _judged(self, case: str) -> Iterator[str]:
        pairs = self.check.kept(case, SCREEN)
        yield STEP
        for phase in phases(pairs):
            if share(pairs, phase) >= LEAST_SHARE:
                yield phase

    def changes(self, row: Row, stage: Stage) -> list[float]:
        """A row's change in each pair of a stage; the suite's mean in each round with all cases."""
        if row.case != SUITE:
            pairs = self.check.kept(row.case, stage)
            return [pair.changes[row.what] for pair in pairs if row.what in pair.changes]
        by_case = [
            {pair.round: pair.changes[STEP] for pair in self.check.kept(case, stage)}
            for case in self.cases
        ]
        common = set.intersection(*map(set, by_case)) if by_case else set()
        return [float(np.mean([each[number] for each in by_case])) for number in sorted(common)]

    @cached_property
    def screened(self) -> dict[Row, Screened]:
        """The screen's result for each row."""
        return {
            row: screen(self.changes(row, SCREEN), self.check.smallest, _most(row))
            for row in self.rows
        }

    @property
    def to_close(self) -> bool:
        """True if the screen still needs pairs while slower rows already wait for confirmation."""
        return bool(self.undecided and self.family(Screened.SLOWER))

    @cached_property
    def undecided(self) -> tuple[str, ...]:
        """The cases of which the screen needs more pairs; empty if screening was ended early."""
        if any(True for _ in self.check.found(ScreenedFact)):
            return ()
        rows = [row for row, found in self.screened.items() if found is Screened.UNDECIDED]
        if SUITE_ROW in rows:
            return self.cases
        return tuple(case for case in self.cases if any(row.case == case for row in rows))

    def family(self, direction: Screened) -> tuple[Row, ...]:
        """The rows that the screen flagged in one direction, which are confirmed together."""
        return tuple(row for row, found in self.screened.items() if found is direction)

    @cached_property
    def to_confirm(self) -> dict[Row, int]:
        """The number of fresh pairs that confirm each flagged row."""
        families = [self.family(direction) for direction in (Screened.SLOWER, Screened.FASTER)]
        return {
            row: pairs_to_confirm(
                self.changes(row, SCREEN), self.check.smallest, len(family), _most(row)
            )
            for family in families
            for row in family
        }

    def confirming(self, row: Row) -> list[float]:
        """A flagged row's changes in the fresh pairs so far, at most `to_confirm` of them."""
        return self.changes(row, CONFIRM)[: self.to_confirm[row]]

    @cached_property
    def wanted(self) -> Wanted | None:
        """The measurements to take next; `None` once no row needs more pairs."""
        if not self.cases:
            return None
        if self.undecided:
            return Wanted(SCREEN, self.undecided)
        short = [row for row, count in self.to_confirm.items() if len(self.confirming(row)) < count]
        if not short:
            return None
        if SUITE_ROW in short:
            return Wanted(CONFIRM, self.cases)
        return Wanted(
            CONFIRM, tuple(case for case in self.cases if case in {r.case for r in short})
        )

    @cached_property
    def least_left(self) -> int:
        """A lower bound on the pairs that are still to be taken."""
        if self.undecided:
            return sum(
                max(1, LEAST_PAIRS - len(self.check.kept(case, SCREEN))) for case in self.undecided
            )
        return sum(
            max(0, count - len(self.confirming(row)))
            for row, count in self.to_confirm.items()
            if row.what == STEP
        )


def _most(row: Row) -> int:
    return MOST_PAIRS if row.what == STEP else MOST_OF_PHASE


def phases(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """The phases that both sides of every pair have."""
    if not pairs:
        return ()
    return tuple(
        name
        for name in pairs[0].base
        if name != STEP and all(name in p.base and name in p.head for p in pairs)
    )


def share(pairs: Sequence[Pair], phase: str) -> float:
    """The share of the step that a phase takes: the larger of both sides, median over pairs."""
    return float(
        np.median([max(p.base[phase] / p.base[STEP], p.head[phase] / p.head[STEP]) for p in pairs])
    )
