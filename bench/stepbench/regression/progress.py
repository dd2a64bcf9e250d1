"""Shows a check's progress in the terminal: the current activity, decisions, the time left."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from stepbench.runner.terminal import LiveLine, format_duration
from stepbench_reports.regression.screening import Screening
from stepbench_reports.regression.statistics import Screened
from stepbench_reports.schema.check import SCREEN, Stage

_DOING = {"screen": "screening", "confirm": "confirming"}
_STYLES = {Screened.SLOWER: "red", Screened.FASTER: "green", Screened.TOO_NOISY: "yellow"}
MOST_NAMED = 4


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
    _pair_s: list[float] = field(default_factory=list)
    _prefix: str = ""
    _known: dict[str, Screened] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Makes an empty live line."""
        self._line = LiveLine(self.console)

    def shown(self) -> AbstractContextManager[None]:
        """Shows the current activity while the context lasts."""
        return self._line.shown()

    def at(self, prefix: str) -> None:
        """Sets the subject of the next activities, such as a case."""
        self._prefix = prefix

    def doing(self, word: str) -> None:
        """Shows the current activity, if the console is a terminal."""
        self._line.draw(Text.assemble((f"{self._prefix}  ", "bold"), (word, "cyan"), self._left()))

    def _left(self) -> Text:
        return Text(
            f"  {format_duration(max(0.0, self.until - time.monotonic()))} of the budget left",
            "dim",
        )

    @property
    def spent(self) -> float:
        """The share of the budget that is spent, 0 to 1."""
        return 1 - max(0.0, self.until - time.monotonic()) / self.budget_s

    def took(self, seconds: float) -> None:
        """Records the time of a pair, seconds."""
        self._pair_s.append(seconds)

    def longest_s(self) -> float:
        """The longest of the last eight pairs, seconds: an estimate for the next one."""
        return max(self._pair_s[-8:], default=0.0)

    def round(self, number: int, stage: Stage, cases: Sequence[str], screening: Screening) -> None:
        """Adds a line for a round, and one for each row that it decided."""
        rows = screening.screened
        undecided = {row.case for row, each in rows.items() if each is Screened.UNDECIDED}
        decided = sum(case not in undecided for case in screening.cases)
        standing = f"{decided} of {len(screening.cases)} cases screened"
        if stage != SCREEN:
            complete = sum(
                len(screening.confirming(row)) >= count
                for row, count in screening.to_confirm.items()
            )
            standing = f"{complete} of {len(screening.to_confirm)} flagged rows measured again"
        left = ""
        if screening.wanted is not None and self._pair_s:
            mean_s = sum(self._pair_s) / len(self._pair_s)
            left = f", {format_duration(mean_s * max(1, screening.least_left))} left at least"
        count = "a pair" if len(cases) == 1 else f"{len(cases)} pairs"
        self.console.print(
            Text.assemble((f"round {number} ", "bold"), f"{_DOING[stage]}, {count}: {standing}",
                          (left, "dim")),
            soft_wrap=True,
        )  # fmt: skip
        self._add_decisions(screening)

    def _add_decisions(self, screening: Screening) -> None:
        news = {
            str(row): each
            for row, each in screening.screened.items()
            if each in _STYLES and self._known.get(str(row)) is not each
        }
        self._known |= news
        words = {
            Screened.SLOWER: "looks slower: to be confirmed",
            Screened.FASTER: "looks faster: to be confirmed",
            Screened.TOO_NOISY: "too noisy to tell",
        }
        for name, each in news.items():
            self.line(f"  {name}: ", words[each], _STYLES[each])

    def line(self, text: str, word: str = "", style: str = "") -> None:
        """Adds a line."""
        self.console.print(Text.assemble(text, (word, style)), soft_wrap=True)
