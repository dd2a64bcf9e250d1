"""The progress of a run in the terminal: the case, its activity, the time left of the whole run.

The line is redrawn only after a message from the child. Messages come between blocks of steps.
"""

import math
import statistics
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from rich.console import Console
from rich.text import Text

from stepbench.config.case import Case
from stepbench.runner.expected_time import COMPILE_GUESS_S, OVERHEAD_GUESS_S, left_s
from stepbench.runner.terminal import LiveLine, format_duration
from stepbench_reports.schema.results import MeasurementRecord
from stepbench_reports.schema.status import Status
from stepbench_reports.wording.with_noun import with_noun

TASK_GENERATIONS = 3.0
"""The assumed time of a task, as a multiple of a player's part of a generation, until a task of its
kind has ended."""
LATER_GENERATIONS = 0.75
"""The assumed time of a later generation, as a share of the first, which also collects facts."""


class Task(StrEnum):
    """Work on a case apart from its measurement."""

    PARITY = "parity"
    TRAINING_PARITY = "training parity"
    PROFILE = "profile"


NO_TASKS: Mapping[Task, Collection[Case]] = MappingProxyType({})


@dataclass(frozen=True)
class GenerationDone:
    """A generation of a group that has ended.

    Attributes:
        elapsed_s: The generation's duration, seconds.
        number: The generation's index in its group, from 0.
        left: The number of generations of the group to come.
        players: The number of players.
        waiting: The number of cases that will be measured in a later group.
    """

    elapsed_s: float
    number: int
    left: int
    players: int
    waiting: int

    @property
    def player_s(self) -> float:
        """A player's part of a later generation, seconds."""
        later_s = self.elapsed_s if self.number else LATER_GENERATIONS * self.elapsed_s
        return later_s / max(1, self.players)

    @property
    def left_s(self) -> float:
        """The time of all generations to come, those of later groups included, seconds."""
        generations = self.number + 1 + self.left
        return self.player_s * (self.left * self.players + generations * self.waiting)


@dataclass
class Progress:
    """Draws the progress of a run.

    Attributes:
        console: The terminal.
        total: The number of cases of the run.
        case_s: The expected time of measuring a case without its first compilation, seconds.
    """

    console: Console
    total: int
    case_s: float
    _finished: int = 0
    _elapsed_s: list[float] = field(default_factory=list)
    _remaining: list[Case] = field(default_factory=list)
    _pending: dict[Task, set[Case]] = field(default_factory=dict)
    _task_s: dict[Task, list[float]] = field(default_factory=dict)
    _guess_s: dict[Task, float] = field(default_factory=dict)
    _case: Case | None = None
    _task: Task | None = None
    _task_began_s: float = 0.0
    _group: tuple[Case, ...] = ()
    _compiled_s: list[float] = field(default_factory=list)
    _compilations_left: int = 0
    _generation: GenerationDone | None = None
    _part_began_s: float = 0.0
    _last_shown: str = ""

    def __post_init__(self) -> None:
        """Makes the line, which is not shown yet."""
        self._line = LiveLine(self.console)

    def expect(
        self,
        cases: Sequence[Case],
        tasks: Mapping[Task, Collection[Case]] = NO_TASKS,
        compilations: int = 0,
    ) -> None:
        """Sets the work to come, to estimate the time left.

        Args:
            cases: The cases that will be measured.
            tasks: For each kind of task, the cases for each of which it takes time once.
            compilations: The number of compilations with an empty cache.
        """
        self._remaining, self._compilations_left = list(cases), compilations
        self._pending = {task: set(work) for task, work in tasks.items()}
        self.total = len(cases)

    def expect_each(self, task: Task, seconds: float) -> None:
        """Sets the expected time of each task of a kind, until one has ended, seconds."""
        self._guess_s[task] = seconds

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Shows the line during the work before the first case."""
        with self._line.shown():
            yield

    @contextmanager
    def measuring(self, cases: Sequence[Case]) -> Iterator[None]:
        """Shows the line while cases are measured in turns."""
        self._group, self._generation = tuple(cases), None
        self._part_began_s = time.perf_counter()
        with self._line.shown():
            self.show_activity("starting")
            yield
        self._group = ()

    def add_compilation(self) -> None:
        """Notes the end of a compilation with an empty cache for the cases that are measured."""
        now_s = time.perf_counter()
        self._compiled_s.append(now_s - self._part_began_s)
        self._compilations_left = max(0, self._compilations_left - 1)
        self._part_began_s = now_s

    def add_generation(self, done: GenerationDone) -> None:
        """Notes the end of a generation of the cases that are measured."""
        self._generation, self._part_began_s = done, time.perf_counter()

    @contextmanager
    def running(self, case: Case, task: Task, work: Case) -> Iterator[None]:
        """Shows the line while a case is compared or profiled.

        Args:
            case: The case.
            task: The kind of task.
            work: The case for which the task takes time; no time if it took it before.
        """
        self._case, self._task_began_s = case, time.perf_counter()
        takes_time = work in self._pending.get(task, ())
        self._task = task if takes_time else None
        with self._line.shown():
            self.show_activity(task)
            yield
        if takes_time:
            self._pending[task].remove(work)
            elapsed_s = time.perf_counter() - self._task_began_s
            self._task_s.setdefault(task, []).append(elapsed_s)
        self._case = self._task = None

    def show_activity(self, activity: str) -> None:
        """Shows the current activity, if the line is visible."""
        if not self._line.visible:
            return
        if self._group:
            at_work = with_noun(len(self._group), "case")
        elif self._case is not None:
            at_work = self._case.id
        else:
            self._line.draw(Text(f"{activity} ..."))
            return
        self._line.draw(
            Text.assemble(
                (at_work, "bold"),
                (f"  {activity}", "cyan"),
                (f"  {format_duration(self.left_s())} left", "dim"),
            )
        )

    def add_measurement(self, case: Case, measurement: MeasurementRecord) -> None:
        """Adds a line for a measured case."""
        self._finished += 1
        self._remaining = [other for other in self._remaining if other != case]
        self._elapsed_s.append(measurement.elapsed_s)
        self.console.print(
            Text.assemble(
                (f"[{self._finished}/{self.total}] ", "bold"),
                case.id,
                "  ",
                _summary(case, measurement),
                (f"  ({measurement.elapsed_s:.1f} s{self._changed_left()})", "dim"),
            ),
            soft_wrap=True,
        )

    def _changed_left(self) -> str:
        """The time left, after a comma; empty if none is left, or as much as on the last line.

        The cases of a group end together, so only the first of their lines has the time.
        """
        left = format_duration(self.left_s())
        if left == self._last_shown or not (self._remaining or any(self._pending.values())):
            return ""
        self._last_shown = left
        return f", {left} left"

    def add_result(self, case: Case, task: str, result: str, style: str) -> None:
        """Adds a line for a result of comparing or profiling a case."""
        self.console.print(
            Text.assemble(f"      {case.id}  {task}: ", (result, style)), soft_wrap=True
        )

    def left_s(self) -> float:
        """Estimates the time left of the whole run, seconds.

        After the first generation, from its duration; else from the mean time of finished cases.
        Tasks to come take as long as those of their kind that have ended. Between two estimates the
        time shrinks, also while work takes longer than expected.
        """
        now_s = time.perf_counter()
        total_s = math.fsum(len(work) * self._each_s(task) for task, work in self._pending.items())
        if self._task is not None:
            each_s = self._each_s(self._task)
            total_s += left_s(each_s, now_s - self._task_began_s) - each_s
        later = sum(case not in self._group for case in self._remaining)
        total_s += later * self._sampling_s
        if not self._group:
            return total_s + self._compilations_s
        part_s = self._compilations_s + self._group_s
        return total_s + left_s(part_s, now_s - self._part_began_s)

    @property
    def _group_s(self) -> float:
        """The expected time of the turns to come of the cases that are measured, seconds."""
        if self._generation is not None:
            return self._generation.left_s
        return len(self._group) * self._sampling_s

    @property
    def _compilations_s(self) -> float:
        """The expected time of the compilations to come, seconds."""
        ended_s = self._compiled_s
        return self._compilations_left * (statistics.fmean(ended_s) if ended_s else COMPILE_GUESS_S)

    @property
    def _sampling_s(self) -> float:
        """The expected time of measuring a case in a later group, seconds."""
        return statistics.fmean(self._elapsed_s) if self._elapsed_s else self.case_s

    def _each_s(self, task: Task) -> float:
        """The expected time of a task, seconds."""
        ended_s = self._task_s.get(task)
        if ended_s:
            return statistics.fmean(ended_s)
        player_s = OVERHEAD_GUESS_S if self._generation is None else self._generation.player_s
        return self._guess_s.get(task, TASK_GENERATIONS * player_s)


def _summary(case: Case, measurement: MeasurementRecord) -> Text:
    if measurement.findings is None:
        style = "yellow" if measurement.status is Status.UNSUPPORTED else "red"
        (reason, *_) = (measurement.reason or "").splitlines() or ("",)
        return Text.assemble((str(measurement.status), style), f": {reason}" if reason else "")
    # Importing pandas takes a second, between groups.
    from stepbench_reports.read.measurement import Measurement  # noqa: PLC0415
    from stepbench_reports.wording import quantity  # noqa: PLC0415

    figures = Measurement(case.id, case.values(), measurement.status, findings=measurement.findings)
    rate, step = quantity.rate(figures.samples_per_s), quantity.milliseconds(figures.mean_step)
    return Text(f"{rate} samples/s, {step} ms a step")
