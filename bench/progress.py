"""What a person sees while a run goes on: which case, what it is doing, how long it will take.

Lines are redrawn only when the child has news, which it sends between blocks and never within one.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from bench.case import Case
from bench.child import Status
from bench.measurement import Measurement
from bench.phases import STEP

COMPILE_GUESS_S = 20.0
"""What compiling is taken to cost until a compiled case has been measured."""
OVERHEAD_GUESS_S = 2.0
"""What building, warming up and ending a case is taken to cost until one has been measured."""


class LiveLine:
    """A line that is drawn over again, where there is a terminal to do so.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    @property
    def drawn(self) -> bool:
        """Whether it can be seen just now."""
        return self._live is not None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Shows it while the context lasts."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def draw(self, text: Text) -> None:
        """Draws it anew; nothing where it is not shown."""
        if self._live is not None:
            self._live.update(text, refresh=True)


@dataclass
class Progress:
    """Draws the progress of a run.

    Attributes:
        console: Where to draw.
        total: How many cases the run has.
        max_time_s: How long a case is sampled at most; the first guess at what one takes.
    """

    console: Console
    total: int
    max_time_s: float
    _finished: int = 0
    _elapsed_s: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})
    _remaining: list[Case] = field(default_factory=list)
    _examined_s: dict[str, list[float]] = field(default_factory=dict)
    _case: Case | None = None

    def __post_init__(self) -> None:
        """Begins with nothing drawn."""
        self._line = LiveLine(self.console)

    def expect(self, cases: list[Case]) -> None:
        """Says which cases will be measured, for the time left."""
        self._remaining = cases
        self.total = len(cases)

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Shows `doing` for what comes before the first case."""
        with self._line.shown():
            yield

    @contextmanager
    def measuring(self, case: Case) -> Iterator[None]:
        """Shows a case as the one being measured."""
        self._case = case
        with self._line.shown():
            self.doing("starting")
            yield
        self._case = None

    @contextmanager
    def examining(self, case: Case, what: str) -> Iterator[None]:
        """Shows a case as one that is looked at apart from measuring.

        Args:
            case: The case.
            what: `parity`, `training parity` or `profile`, for the time left.
        """
        self._case, began = case, time.perf_counter()
        with self._line.shown():
            self.doing(what)
            yield
        self._examined_s.setdefault(what, []).append(time.perf_counter() - began)
        self._case = None

    def doing(self, word: str) -> None:
        """Says what is being done, where there is a terminal to redraw."""
        if not self._line.drawn:
            return
        if self._case is None:
            text = Text(f"{word} ...")
        else:
            text = Text.assemble(
                (f"[{self._finished + 1}/{self.total}] ", "bold"),
                self._case.id,
                (f"  {word}", "cyan"),
                (f"  {spoken(self.left_s())} left", "dim"),
            )
        self._line.draw(text)

    def done(self, measurement: Measurement) -> None:
        """Adds a line for a finished case."""
        self._finished += 1
        case = measurement.case
        self._remaining = [other for other in self._remaining if other != case]
        self._elapsed_s[case.compile != "off"].append(measurement.elapsed_s)
        left = f", {spoken(self.left_s())} left" if self._remaining else ""
        self.console.print(
            Text.assemble(
                (f"[{self._finished}/{self.total}] ", "bold"),
                case.id,
                "  ",
                _told(measurement),
                (f"  ({measurement.elapsed_s:.1f} s{left})", "dim"),
            ),
            soft_wrap=True,
        )

    def told(self, case: Case, what: str, word: str, style: str) -> None:
        """Adds a line for what was found of a case apart from measuring."""
        self.console.print(
            Text.assemble(f"      {case.id}  ", f"{what}: ", (word, style)), soft_wrap=True
        )

    def left_s(self) -> float:
        """How long the remaining cases will take: each as its like took so far, on average."""
        examining_s = sum(sum(times) / len(times) for times in self._examined_s.values())
        return sum(self._expected_s(case) + examining_s for case in self._remaining)

    def _expected_s(self, case: Case) -> float:
        compiled = case.compile != "off"
        like = self._elapsed_s[compiled]
        if like:
            return sum(like) / len(like)
        other = self._elapsed_s[not compiled]
        if other and compiled:
            return sum(other) / len(other) + COMPILE_GUESS_S
        return self.max_time_s + OVERHEAD_GUESS_S + (COMPILE_GUESS_S if compiled else 0)


def _told(measurement: Measurement) -> Text:
    if measurement.status is not Status.OK:
        style = "yellow" if measurement.status is Status.UNSUPPORTED else "red"
        return Text.assemble((str(measurement.status), style))
    steps = measurement.laps[STEP]
    mean_s = sum(steps) / len(steps)
    return Text(f"{mean_s * 1e3:.4g} ms a step, {measurement.case.samples / mean_s:,.0f} samples/s")


def spoken(seconds: float) -> str:
    """A rough duration, in words."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min"


def short(path: Path) -> str:
    """A path as one would type it here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
