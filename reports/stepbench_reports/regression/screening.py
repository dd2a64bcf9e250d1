"""Computes a check's progress: which rows are flagged, and which cases need more pairs.

A *row* is the unit of decision: a case's step, each of the case's phases that takes at least
`MIN_SHARE` of the step, and the mean over all cases (the suite).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stepbench_reports.regression.pair_statistics import (
    MAX_PAIRS,
    MIN_PAIRS,
    MIN_PAIRS_OF_SPREAD,
    Screened,
    ServerCorrelation,
    pairs_to_confirm,
    pairs_to_screen,
    screen,
    server_correlation,
)
from stepbench_reports.regression.records import Check, Pair
from stepbench_reports.schema.check import CONFIRM, SCREEN, AloneFact, ScreenedFact, Stage
from stepbench_reports.schema.phases import STEP

SUITE = "suite"
"""The `Row.case` of the row for the mean over all cases."""
MIN_SHARE = 0.02
"""A phase that takes a smaller share of the step is reported without a verdict."""
MAX_PHASE_PAIRS = 12
"""The most pairs that a phase is given in a stage."""
MAX_FAILURES = 2
"""A case is excluded after this number of pairs in which a side failed."""
MAX_EXCESS_DISCARDED = 8
"""A case is excluded once its discarded pairs outnumber its valid pairs by more than this."""
DIFFERED = "other processes or throttling slowed one side more than the other"
"""The reason for which pairs are discarded."""


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
class NextPairs:
    """The pairs to take next.

    Attributes:
        stage: `screen` or `confirm`.
        cases: The cases; one pair of each is taken.
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
        """The cases that are not excluded, neither by failures nor by interference."""
        return tuple(
            case
            for case in self.check.cases
            if self.failure_reason(case) is None and self.interference_reason(case) is None
        )

    def failure_reason(self, case: str) -> str | None:
        """The reason why a case is excluded whose sides failed; `None` if it is not."""
        failed = [failure for failure in self.check.failures if failure.case == case]
        if len(failed) < MAX_FAILURES:
            return None
        return self._why_failed(case) or f"{failed[-1].failed.side}: {failed[-1].failed.reason}"

    def interference_reason(self, case: str) -> str | None:
        """The reason why a case is excluded that interference disturbs; `None` if it is not."""
        pairs = [pair for pair in self.check.pairs if pair.case == case]
        discarded = sum(pair.interference for pair in pairs)
        if discarded > MAX_EXCESS_DISCARDED + len(pairs) - discarded:
            return f"{DIFFERED} in {discarded} of {len(pairs)} pairs"
        return None

    def _why_failed(self, case: str) -> str | None:
        """The reason for a case's failed pairs from running each side alone; `None` if unknown."""
        for fact in self.check.facts_of(AloneFact):
            if fact.case == case:
                if fact.base is not None:
                    return f"base: {fact.base}"
                if fact.head is None:
                    return (
                        "each side can run alone, but not both at once: they may share a port, a "
                        "file or the device's memory; separate them, or lower --batch-size"
                    )
        return None

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The rows that get a verdict; with several cases, the suite's is the last."""
        rows = [Row(case, what) for case in self.cases for what in self._parts(case)]
        return (*rows, SUITE_ROW) if len(self.cases) > 1 else tuple(rows)

    def _parts(self, case: str) -> Iterator[str]:
        """The step of a case, and each phase that takes at least `MIN_SHARE` of the step."""
        pairs = self.check.valid_pairs(case, SCREEN)
        yield STEP
        for phase in phases(pairs):
            if share(pairs, phase) >= MIN_SHARE:
                yield phase

    def changes(self, row: Row, stage: Stage) -> list[float]:
        """A row's change in each pair of a stage.

        The suite's are the mean over all cases of their first change, of their second, and so on.
        Where pairs of the same server are too alike (`is_clustered`), a case has a change for each
        server, the mean of its pairs.
        """
        if row.case == SUITE:
            by_case = [self.changes(Row(case, row.what), stage) for case in self.cases]
            return [float(np.mean(changes)) for changes in zip(*by_case, strict=False)]
        changes = self._changes(row, stage)
        if not self.is_clustered:
            return [change for _, change in changes]
        return [float(np.mean(values)) for values in _by_server(changes).values()]

    def _changes(self, row: Row, stage: Stage) -> list[tuple[int, float]]:
        """The server of each pair of a stage, and a row's change in it."""
        pairs = self.check.valid_pairs(row.case, stage)
        return [(p.server, p.changes[row.what]) for p in pairs if row.what in p.changes]

    @cached_property
    def server_correlation(self) -> ServerCorrelation:
        """The correlation of the steps' changes by server in the screen's pairs.

        The pairs that confirm a row are left out, so that their number is fixed beforehand.
        """
        return server_correlation(
            _by_server(self._changes(Row(case, STEP), SCREEN)) for case in self.cases
        )

    @cached_property
    def is_clustered(self) -> bool:
        """True if pairs of the same server are too alike to count by themselves."""
        return self.server_correlation.is_high

    def min_effect(self, row: Row) -> float:
        """The smallest effect that the check looks for in a row, a share of the step."""
        return self.check.min_effect(row.case, row.what)

    @cached_property
    def screened(self) -> dict[Row, Screened]:
        """The screen's result for each row."""
        return {
            row: screen(self.changes(row, SCREEN), self.min_effect(row), _max_pairs(row))
            for row in self.rows
        }

    @property
    def awaiting(self) -> tuple[Row, ...]:
        """The slower rows for whose confirmation time is kept back while the screen goes on.

        Phases come after steps, and so they wait for none while a step is undecided.
        """
        slower = self.family(Screened.SLOWER)
        if not self._undecided_steps:
            return slower
        return tuple(row for row in slower if row.what == STEP)

    @cached_property
    def _undecided_steps(self) -> tuple[Row, ...]:
        """The steps that the screen has not decided; the suite's only once all cases' are."""
        rows = [row for row in self.family(Screened.UNDECIDED) if row.what == STEP]
        return tuple(row for row in rows if row != SUITE_ROW) or tuple(rows)

    @cached_property
    def undecided(self) -> tuple[str, ...]:
        """The cases of which the screen takes pairs next; empty if screening was ended early.

        Those with an undecided step; then all for the suite; then those with undecided phases.
        """
        if any(True for _ in self.check.facts_of(ScreenedFact)):
            return ()
        rows = self._undecided_steps or self.family(Screened.UNDECIDED)
        if SUITE_ROW in rows:
            return self.cases
        return tuple(case for case in self.cases if any(row.case == case for row in rows))

    def family(self, direction: Screened) -> tuple[Row, ...]:
        """The rows with one result of the screen; flagged ones are confirmed together."""
        return tuple(row for row, result in self.screened.items() if result is direction)

    @cached_property
    def to_confirm(self) -> dict[Row, int]:
        """The number of fresh pairs that confirm each flagged row."""
        families = [self.family(direction) for direction in (Screened.SLOWER, Screened.FASTER)]
        return {
            row: pairs_to_confirm(
                self.changes(row, SCREEN), self.min_effect(row), len(family), _max_pairs(row)
            )
            for family in families
            for row in family
        }

    def fresh_changes(self, row: Row) -> list[float]:
        """A flagged row's changes in the fresh pairs so far, at most `to_confirm` of them."""
        return self.changes(row, CONFIRM)[: self.to_confirm[row]]

    @cached_property
    def next_pairs(self) -> NextPairs | None:
        """The pairs to take next; `None` once no row needs more pairs."""
        if not self.cases:
            return None
        if self.undecided:
            return NextPairs(SCREEN, self.undecided)
        incomplete = {
            row.case
            for row, count in self.to_confirm.items()
            if len(self.fresh_changes(row)) < count
        }
        if not incomplete:
            return None
        if SUITE in incomplete:
            return NextPairs(CONFIRM, self.cases)
        return NextPairs(CONFIRM, tuple(case for case in self.cases if case in incomplete))

    def pairs_lacking(self, rows: Iterable[Row]) -> dict[str, int]:
        """The number of fresh pairs that flagged rows still lack, by case."""
        lacking: dict[str, int] = {}
        for row in rows:
            left = self.to_confirm[row] - len(self.fresh_changes(row))
            if left > 0:
                for case in self.cases if row.case == SUITE else (row.case,):
                    lacking[case] = max(lacking.get(case, 0), left)
        return lacking

    @property
    def fewest_pairs_left(self) -> dict[str, int]:
        """A lower bound on the pairs that are still to be taken, by case."""
        left = self.pairs_lacking(self.to_confirm)
        for case in self.undecided:
            taken = len(self.check.valid_pairs(case, SCREEN))
            left[case] = left.get(case, 0) + max(1, MIN_PAIRS - taken)
        return left

    @property
    def fewest_rounds_to_decide(self) -> int:
        """The number of rounds after which the screen may decide a step.

        It is half of the usual number, since the screen can be quicker. The spread of the first
        pairs tells nothing yet. 0 if only phases are undecided, whose number of pairs is small.
        """
        return min(map(self._fewest_rounds, self._undecided_steps), default=0)

    def _fewest_rounds(self, row: Row) -> int:
        changes = self.changes(row, SCREEN)
        if len(changes) < MIN_PAIRS_OF_SPREAD:
            return max(MIN_PAIRS - len(changes), 0)
        return max(pairs_to_screen(changes, self.min_effect(row)) // 2 - len(changes), 0)


def _by_server(changes: Iterable[tuple[int, float]]) -> dict[int, list[float]]:
    """Groups changes by server, in the order of each server's first pair."""
    groups: dict[int, list[float]] = {}
    for server, change in changes:
        groups.setdefault(server, []).append(change)
    return groups


def _max_pairs(row: Row) -> int:
    return MAX_PAIRS if row.what == STEP else MAX_PHASE_PAIRS


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
