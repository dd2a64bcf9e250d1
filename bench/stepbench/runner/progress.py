"""The progress of a run in the terminal: the case, its activity, the time left.

The line is redrawn only after a message from the child. Messages come between blocks of steps.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from stepbench.config.case import Case
from stepbench.runner.terminal import LiveLine, format_duration
from stepbench_reports.schema.results import MeasurementRecord
from stepbench_reports.schema.status import Status

COMPILE_GUESS_S = 20.0
"""The assumed time of compiling, seconds, until a compiled case has been measured."""
OVERHEAD_GUESS_S = 2.0
"""The assumed time of setup, warm-up and exit, seconds, until a case has been measured."""


@dataclass
class Progress:
    """Draws the progress of a run.

    Attributes:
        console: The terminal.
        total: The number of cases of the run.
        max_time_s: The longest time of sampling a case, seconds; the first estimate of the time.
    """

    console: Console
    total: int
    max_time_s: float
    _finished: int = 0
    _elapsed_s: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})
    _remaining: list[Case] = field(default_factory=list)
    _task_s: dict[str, list[float]] = field(default_factory=dict)
    _case: Case | None = None
    _group: tuple[Case, ...] = ()
    _generations_left_s: float | None = None
    _generation_began_s: float = 0.0

    def __post_init__(self) -> None:
        """Makes the line, which is not shown yet."""
        self._line = LiveLine(self.console)

    def expect(self, cases: list[Case]) -> None:
        """Sets the cases that will be measured, to estimate the time left."""
        self._remaining = cases
        self.total = len(cases)

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Shows the line during the work before the first case."""
        with self._line.shown():
            yield

    @contextmanager
    def measuring(self, cases: Sequence[Case]) -> Iterator[None]:
        """Shows the line while cases are measured in turns."""
        self._group = tuple(cases)
        with self._line.shown():
            self.show_activity("starting")
            yield
        self._group = ()
        self._generations_left_s = None

    def add_generation(self, elapsed_s: float, left: int) -> None:
        """Notes the end of a generation of the cases that are measured.

        Args:
            elapsed_s: The generation's duration, seconds.
            left: The number of generations to come.
        """
        self._generations_left_s = left * elapsed_s
        self._generation_began_s = time.perf_counter()

    @contextmanager
    def running(self, case: Case, task: str) -> Iterator[None]:
        """Shows the line while a case is compared or profiled.

        Args:
            case: The case.
            task: `parity`, `training parity` or `profile`; the time left includes the mean time of
                each task.
        """
        self._case, began_s = case, time.perf_counter()
        with self._line.shown():
            self.show_activity(task)
            yield
        self._task_s.setdefault(task, []).append(time.perf_counter() - began_s)
        self._case = None

    def show_activity(self, activity: str) -> None:
        """Shows the current activity, if the line is visible."""
        if not self._line.visible:
            return
        if self._group:
            cases = "1 case" if len(self._group) == 1 else f"{len(self._group)} cases"
            text = Text.assemble(
                (cases, "bold"),
                (f"  {activity}", "cyan"),
                (f"  {format_duration(self.left_s())} left", "dim"),
            )
        elif self._case is None:
            text = Text(f"{activity} ...")
        else:
            text = Text.assemble(
                (f"[{self._finished + 1}/{self.total}] ", "bold"),
                self._case.id,
                (f"  {activity}", "cyan"),
                (f"  {format_duration(self.left_s())} left", "dim"),
            )
        self._line.draw(text)

    def add_measurement(self, case: Case, measurement: MeasurementRecord) -> None:
        """Adds a line for a measured case."""
        self._finished += 1
        self._remaining = [other for other in self._remaining if other != case]
        self._elapsed_s[case.compile != "off"].append(measurement.elapsed_s)
        left = f", {format_duration(self.left_s())} left" if self._remaining else ""
        self.console.print(
            Text.assemble(
                (f"[{self._finished}/{self.total}] ", "bold"),
                case.id,
                "  ",
                _summary(case, measurement),
                (f"  ({measurement.elapsed_s:.1f} s{left})", "dim"),
            ),
            soft_wrap=True,
        )

    def add_result(self, case: Case, task: str, result: str, style: str) -> None:
        """Adds a line for a result of comparing or profiling a case."""
        self.console.print(
            Text.assemble(f"      {case.id}  {task}: ", (result, style)), soft_wrap=True
        )

    def left_s(self) -> float:
        """Estimates the time left, seconds.

        After the first generation, from its duration; else from the mean time of finished cases of
        each kind.
        """
        tasks_s = sum(sum(times) / len(times) for times in self._task_s.values())
        cases = [case for case in self._remaining if case not in self._group]
        left_s = len(self._remaining) * tasks_s + sum(self._expected_s(case) for case in cases)
        if self._generations_left_s is None:
            return left_s + sum(self._expected_s(case) for case in self._group)
        since_s = time.perf_counter() - self._generation_began_s
        return left_s + max(0.0, self._generations_left_s - since_s)

    def _expected_s(self, case: Case) -> float:
        compiled = case.compile != "off"
        same_kind = self._elapsed_s[compiled]
        if same_kind:
            return sum(same_kind) / len(same_kind)
        other_kind = self._elapsed_s[not compiled]
        if other_kind and compiled:
            return sum(other_kind) / len(other_kind) + COMPILE_GUESS_S
        return self.max_time_s + OVERHEAD_GUESS_S + (COMPILE_GUESS_S if compiled else 0)


def _summary(case: Case, measurement: MeasurementRecord) -> Text:
    if measurement.findings is None:
        style = "yellow" if measurement.status is Status.UNSUPPORTED else "red"
        return Text.assemble((str(measurement.status), style))
    # Importing pandas takes a second, between groups.
    from stepbench_reports.read.measurement import Measurement  # noqa: PLC0415
    from stepbench_reports.wording import quantity  # noqa: PLC0415

    figures = Measurement(case.id, case.values(), measurement.status, findings=measurement.findings)
    rate, step = quantity.rate(figures.samples_per_s), quantity.milliseconds(figures.mean_step)
    return Text(f"{rate} samples/s, {step} ms a step")
