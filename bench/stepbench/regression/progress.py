"""Shows a check's progress in the terminal: the current activity, decisions, the time left."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from stepbench.runner.terminal import LiveLine, format_duration
from stepbench_reports.regression.pair_statistics import Screened
from stepbench_reports.regression.screening import DIFFERED, Screening
from stepbench_reports.schema.check import SCREEN, Stage
from stepbench_reports.wording.with_noun import with_noun

RECENT = 8
"""The number of the latest times by which the next ones are estimated."""
_STAGE_NAMES = {"screen": "screening", "confirm": "confirming"}
_STYLES = {Screened.SLOWER: "red", Screened.FASTER: "green", Screened.TOO_NOISY: "yellow"}


@dataclass
class CheckProgress:
    """Shows the progress of a check.

    Attributes:
        console: The terminal.
        budget_s: The longest that the check measures, seconds.
        until: The end of the budget, by `time.monotonic`.
    """

    console: Console
    budget_s: float
    until: float
    _pair_s: dict[str, list[float]] = field(default_factory=dict)
    _all_pairs_s: list[float] = field(default_factory=list)
    _wait_s: list[float] = field(default_factory=list)
    _prefix: str = ""
    _printed: dict[str, Screened] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Makes an empty live line."""
        self._line = LiveLine(self.console)

    def shown(self) -> AbstractContextManager[None]:
        """Shows the current activity while the context lasts."""
        return self._line.shown()

    def set_prefix(self, prefix: str) -> None:
        """Sets the subject of the next activities, such as a case."""
        self._prefix = prefix

    def show_activity(self, activity: str) -> None:
        """Shows the current activity, if the console is a terminal."""
        self._line.draw(
            Text.assemble((f"{self._prefix}  ", "bold"), (activity, "cyan"), self._budget_left())
        )

    def _budget_left(self) -> Text:
        return Text(
            f"  {format_duration(self.left_s)} of the budget left",
            "dim",
        )

    @property
    def left_s(self) -> float:
        """The time that is left of the budget, seconds."""
        return max(0.0, self.until - time.monotonic())

    @property
    def spent(self) -> float:
        """The share of the budget that is spent, 0 to 1."""
        return 1 - self.left_s / self.budget_s

    def add_pair_time(self, case: str, seconds: float) -> None:
        """Records the time of a pair of a case, seconds."""
        self._pair_s.setdefault(case, []).append(seconds)
        self._all_pairs_s.append(seconds)

    def add_wait(self, seconds: float) -> None:
        """Records the time for which a round waited for its server, seconds."""
        self._wait_s.append(seconds)

    def pair_s(self, case: str) -> float:
        """The time that the next pair of a case takes by its last ones, seconds; 0 if unknown.

        Without any, by the last ones of the other cases.
        """
        return _recent_mean(self._pair_s.get(case) or self._all_pairs_s)

    def expected_s(self, pairs: Mapping[str, int]) -> float:
        """The time that pairs will take with the waits for their servers, seconds.

        Args:
            pairs: The number of pairs, by case.
        """
        of_pairs_s = sum(count * self.pair_s(case) for case, count in pairs.items())
        return of_pairs_s + max(pairs.values(), default=0) * _recent_mean(self._wait_s)

    def round(self, number: int, stage: Stage, cases: Sequence[str], screening: Screening) -> None:
        """Adds a line for a round, and one for each row that it decided."""
        rows = screening.screened
        undecided = {row.case for row, result in rows.items() if result is Screened.UNDECIDED}
        decided = sum(case not in undecided for case in screening.cases)
        status = f"{decided} of {len(screening.cases)} cases screened"
        if stage != SCREEN:
            complete = sum(
                len(screening.fresh_changes(row)) >= count
                for row, count in screening.to_confirm.items()
            )
            status = f"{complete} of {len(screening.to_confirm)} flagged rows measured again"
        time_left = ""
        if screening.next_pairs is not None:
            left_s = self.expected_s(screening.fewest_pairs_left)
            time_left = f", at least {format_duration(left_s)} left"
        count = with_noun(len(cases), "pair")
        self.console.print(
            Text.assemble((f"round {number} ", "bold"), f"{_STAGE_NAMES[stage]}, {count}: {status}",
                          (_discarded(screening), "yellow"), (time_left, "dim")),
            soft_wrap=True,
        )  # fmt: skip
        self._add_decisions(screening)

    def _add_decisions(self, screening: Screening) -> None:
        new_decisions = {
            str(row): result
            for row, result in screening.screened.items()
            if result in _STYLES and self._printed.get(str(row)) is not result
        }
        self._printed |= new_decisions
        words = {
            Screened.SLOWER: "looks slower: to be confirmed",
            Screened.FASTER: "looks faster: to be confirmed",
            Screened.TOO_NOISY: "too noisy to tell",
        }
        for row, result in new_decisions.items():
            self.line(f"  {row}: ", words[result], _STYLES[result])

    def line(self, text: str, styled: str = "", style: str = "") -> None:
        """Adds a line: plain text, and text in a style."""
        self.console.print(Text.assemble(text, (styled, style)), soft_wrap=True)


def _recent_mean(times_s: Sequence[float]) -> float:
    """The mean of the last eight times, seconds; 0 without any."""
    recent = times_s[-RECENT:]
    return sum(recent) / len(recent) if recent else 0.0


def _discarded(screening: Screening) -> str:
    """The number of discarded pairs and the reason; empty if none was discarded."""
    pairs = screening.check.pairs
    discarded = sum(pair.interference for pair in pairs)
    if not discarded:
        return ""
    return f", {discarded} of {len(pairs)} pairs discarded, since {DIFFERED}"
