"""Takes the pairs of a check until every row is decided, or the budget is spent."""

import time
from collections.abc import Mapping, Sequence
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
from stepbench_reports.regression.screening import NextPairs, Screening
from stepbench_reports.schema.check import CONFIRM, SCREEN, PairLine, ScreenedFact

EXTRA_PAIRS = 3
"""A confirmation that lacks at most this number of pairs goes on beyond the budget."""
DONE, OUT_OF_TIME, INTERRUPTED = "done", "budget", "interrupted"


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
    def end_reason(self) -> str:
        """The reason for the end if no pair is taken."""
        return DONE if self._screening.next_pairs is None else OUT_OF_TIME

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

    def take(self, pool: ServerPool) -> tuple[str, str | None]:
        """Takes pairs until every row is decided, or the budget is spent.

        Args:
            pool: The servers.

        Returns:
            `DONE` or `OUT_OF_TIME`; and the reason if nothing more can be compared, or `None`.
        """
        with self._progress.shown():
            self._progress.set_prefix("importing")
            self._progress.show_activity("importing torch")
            pool.wait_until_ready()
        screening = self._screening
        while True:
            if screening.next_pairs is not None and self._must_confirm(screening):
                self._end_screening(screening)
                screening = self._screening
            next_pairs, fatal = screening.next_pairs, self._fatal_reason(screening.check)
            if next_pairs is None or fatal is not None:
                return DONE, fatal
            if not self._has_time(screening, next_pairs):
                return OUT_OF_TIME, None
            number = 1 + max((taken.round for taken in screening.check.pairs), default=0)
            server = pool.next(fresh=screening.is_clustered)
            if not self._take_round(number, server, next_pairs):
                return OUT_OF_TIME, None
            screening = self._screening
            self._progress.round(number, next_pairs.stage, next_pairs.cases, screening)

    def _must_confirm(self, screening: Screening) -> bool:
        """True if the time left is needed to confirm the rows that look slower."""
        needed_s = screening.pairs_to_confirm * self._progress.pair_s
        return screening.confirmation_waits and self._progress.left_s < needed_s

    def _end_screening(self, screening: Screening) -> None:
        pairs = len(screening.check.pairs)
        self._comparison.directory.add_fact(ScreenedFact(pairs=pairs))
        self._progress.line("screening ends early, to leave time to confirm the flagged rows")

    def _has_time(self, screening: Screening, next_pairs: NextPairs) -> bool:
        """True if the next round fits into the budget, and can still help to decide a row."""
        pair_s, left_s = self._progress.pair_s, self._progress.left_s
        if next_pairs.stage == CONFIRM:
            return left_s > pair_s or screening.pairs_to_confirm <= EXTRA_PAIRS
        if left_s <= pair_s:
            return False
        if screening.fewest_pairs_to_decide * pair_s <= left_s:
            return True
        self._progress.line(
            "the check ends early: ",
            "no row can be decided in the time left; give it more time with --budget, or look for "
            "larger slowdowns with --min-effect",
            "yellow",
        )
        return False

    def _take_round(self, number: int, server: PairServer, next_pairs: NextPairs) -> bool:
        """Takes a pair of each case; returns false if there is no time to screen them all."""
        progress = self._progress
        with progress.shown():
            for case in self._of(next_pairs.cases):
                if next_pairs.stage == SCREEN and progress.left_s < progress.pair_s:
                    return False
                progress.set_prefix(f"round {number}, {case.id}")
                self._take_pair(PairPlace(case.id, number, server.number, next_pairs.stage), server)
        return True

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
        progress.add_pair_time(time.monotonic() - began_s)
