"""Takes the pairs of a check until every row is decided, or the budget is spent."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from stepbench.config.case import Case
from stepbench.regression import git
from stepbench.regression.comparison import Comparison
from stepbench.regression.pair import PairPlace, pair_line
from stepbench.regression.progress import CheckProgress
from stepbench.regression.servers import PairServer, ServerPool, pair
from stepbench.regression.survey import foreign_modules_message
from stepbench_reports import regression
from stepbench_reports.regression import Check
from stepbench_reports.regression.pair_statistics import Screened
from stepbench_reports.regression.screening import NextPairs, Row, Screening
from stepbench_reports.schema.check import CONFIRM, SCREEN, PairLine, ScreenedFact
from stepbench_reports.schema.end_reason import EndReason

EXTRA_PAIRS = 3
"""A confirmation that lacks at most this number of pairs goes on beyond the budget."""


class PairTaker:
    """Takes pairs in rounds; each round has a pair of each case that needs one.

    Args:
        comparison: Both sides, the cases and the directory.
        progress: Shows the progress in the terminal, and knows the budget.
        cases: The cases that both sides can run, by id.
    """

    def __init__(
        self, comparison: Comparison, progress: CheckProgress, cases: Mapping[str, Case]
    ) -> None:
        self._comparison = comparison
        self._progress = progress
        self._cases = cases

    @property
    def _screening(self) -> Screening:
        """The state of the screening after the recorded pairs."""
        return Screening(regression.load(self._comparison.directory.path))

    @property
    def takes_any(self) -> bool:
        """True if pairs are needed, and there is time for some."""
        return self._screening.next_pairs is not None and self._progress.left_s > 0

    @property
    def end_reason(self) -> EndReason:
        """The reason for the end if no pair is taken."""
        return EndReason.DONE if self._screening.next_pairs is None else EndReason.BUDGET

    @property
    def fatal_reason(self) -> str | None:
        """The reason why nothing more can be compared; `None` if there is no such reason."""
        return self._fatal_reason(self._screening.check)

    def _fatal_reason(self, check: Check) -> str | None:
        for taken in check.pairs:
            for side, end in taken.sides.items():
                if end.foreign:
                    return foreign_modules_message(side, end.foreign)
        sides = self._comparison.sides
        if sides.fingerprint is None:
            return None
        directory = self._comparison.directory.path
        if git.fingerprint(sides.head.tree.root, directory) != sides.fingerprint:
            return "head's files changed during the check; check again without changing files"
        return None

    @cached_property
    def _apart(self) -> set[str]:
        """The cases whose sides are alive one at a time."""
        if self._comparison.options.one_at_a_time:
            return {*self._cases}
        return {taken.case for taken in self._screening.check.pairs if not taken.together}

    @cached_property
    def next_server(self) -> int:
        """The number of the first server of this session."""
        check = self._screening.check
        used = [taken.server for taken in check.pairs]
        used += [failure.server for failure in check.failures]
        return max(used, default=0) + 1

    def take(self, pool: ServerPool) -> tuple[EndReason, str | None]:
        """Takes pairs until every row is decided, or the budget is spent.

        Args:
            pool: The servers.

        Returns:
            The reason for the end; and the reason if nothing more can be compared, or `None`.
        """
        with self._progress.shown():
            self._progress.set_prefix("importing")
            self._progress.show_activity("importing torch")
            pool.wait_until_ready()
        screening = self._screening
        while True:
            next_pairs, fatal = screening.next_pairs, self._fatal_reason(screening.check)
            if next_pairs is None or fatal is not None:
                return EndReason.DONE, fatal
            end = self._end(screening, next_pairs)
            if end is None:
                screening = self._take_round(screening, next_pairs, pool)
            elif next_pairs.stage == SCREEN and self._can_confirm(screening):
                screening = self._end_screening(screening)
            else:
                return end, None

    def _end(self, screening: Screening, next_pairs: NextPairs) -> EndReason | None:
        """The reason for which the next round is not taken; `None` if it is.

        While the screen goes on, time is kept back to confirm the rows that look slower.
        """
        progress, left_s = self._progress, self._progress.left_s
        first = progress.pair_s(next_pairs.cases[0])
        if next_pairs.stage == CONFIRM:
            return None if self._confirms(screening, screening.to_confirm) else EndReason.BUDGET
        kept_s = self._kept_back_s(screening)
        round_s = progress.expected_s(dict.fromkeys(next_pairs.cases, 1))
        if left_s <= kept_s + (round_s if kept_s else first):
            return EndReason.BUDGET
        rounds = dict.fromkeys(next_pairs.cases, screening.fewest_rounds_to_decide)
        if progress.expected_s(rounds) <= left_s - kept_s:
            return None
        if not self._can_confirm(screening):
            progress.line(
                "the check ends early: ",
                "no row can be decided in the time left; give it more time with --budget, or look "
                "for larger slowdowns with --min-effect",
                "yellow",
            )
        return EndReason.EARLY

    def _can_confirm(self, screening: Screening) -> bool:
        """True if rows look slower, and there is time for a pair that confirms one."""
        slower = screening.family(Screened.SLOWER)
        return bool(slower) and self._confirms(screening, slower)

    def _confirms(self, screening: Screening, rows: Iterable[Row]) -> bool:
        """True if there is time for a fresh pair of flagged rows, or they lack only a few."""
        lacking = screening.pairs_lacking(rows)
        fits = any(self._progress.pair_s(case) < self._progress.left_s for case in lacking)
        return fits or sum(lacking.values()) <= EXTRA_PAIRS

    def _kept_back_s(self, screening: Screening) -> float:
        """The time to confirm the rows that look slower so far, seconds."""
        return self._progress.expected_s(screening.pairs_lacking(screening.awaiting))

    def _end_screening(self, screening: Screening) -> Screening:
        """Ends the screening, and returns what is left to do."""
        pairs = len(screening.check.pairs)
        self._comparison.directory.add_fact(ScreenedFact(pairs=pairs))
        self._progress.line("screening ends early, to leave time to confirm the flagged rows")
        return self._screening

    def _take_round(
        self, screening: Screening, next_pairs: NextPairs, pool: ServerPool
    ) -> Screening:
        """Takes a pair of each case; the screen's only as far as there is time.

        Returns:
            The state of the screening with these pairs.
        """
        progress = self._progress
        number = 1 + max((taken.round for taken in screening.check.pairs), default=0)
        kept_s = self._kept_back_s(screening) if next_pairs.stage == SCREEN else -math.inf
        began_s = time.monotonic()
        server = pool.next(fresh=screening.is_clustered)
        progress.add_wait(time.monotonic() - began_s)
        with progress.shown():
            for case in self._of(next_pairs.cases):
                if progress.left_s < progress.pair_s(case.id) + kept_s:
                    return self._screening
                progress.set_prefix(f"round {number}, {case.id}")
                self._take_pair(PairPlace(case.id, number, server.number, next_pairs.stage), server)
        after = self._screening
        progress.round(number, next_pairs.stage, next_pairs.cases, after)
        return after

    def _of(self, names: Sequence[str]) -> list[Case]:
        return [self._cases[name] for name in names]

    def _take_pair(self, place: PairPlace, server: PairServer) -> None:
        comparison, progress = self._comparison, self._progress
        began_s = time.monotonic()
        together = place.case not in self._apart
        case = self._cases[place.case]
        played = pair(comparison, server, case, progress.show_activity, together=together)
        if played.deferred:
            progress.line(
                f"  {place.case}: ",
                "base and head find no memory beside each other: from now on one at a time",
                "yellow",
            )
            self._apart.add(place.case)
            together = False
            played = pair(comparison, server, case, progress.show_activity, together=together)
        line = pair_line(played, place, together=together)
        comparison.directory.add_pair(line)
        if isinstance(line, PairLine):
            comparison.add_extras(line.sides)
        else:
            failed = line.failed
            progress.line(f"  {place.case}: ", f"{failed.side} failed: {failed.reason}", "red")
        progress.add_pair_time(place.case, time.monotonic() - began_s)
