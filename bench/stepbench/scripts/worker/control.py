"""The part of a player that runs in a script's process: at a step's end it takes commands.

Hooks count steps down, and call `StepEnds.step_end` where a stretch of steps ends: a generator goes
on, which measures, answers, and waits for the next command. So a script is held at a step's end,
without a thread beside it.
"""

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

from stepbench.config.turns import (
    UNTIMED_STEPS,
    Finish,
    PlayerLink,
    Prepare,
    Ready,
    TakeTurn,
    TurnKind,
    TurnResult,
)
from stepbench.interference.run_delay import run_delay_s, use_cores
from stepbench.interference.speed_probe import SpeedProbe
from stepbench.interference.watch import MachineWatch, usable_cores
from stepbench.measurement.idle import wait_until_idle
from stepbench.measurement.warm_up import WARMUP_WINDOW_S, is_steady
from stepbench.scripts.classify import ScriptStep, split
from stepbench.scripts.marks import Mark
from stepbench.scripts.requests import ScriptRequest, ScriptTrace
from stepbench.scripts.roles import Roles, recognise
from stepbench.scripts.worker.observer import ScriptObserver
from stepbench.scripts.worker.recorder import Recorder
from stepbench.scripts.worker.tracing import TRACE_WARMUP, Tracing
from stepbench.training import compilation
from stepbench.training.heartbeat import SLOW_STEP_S
from stepbench_reports.schema.measurement import WarmUpFacts
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.script import EVALUATION

if TYPE_CHECKING:
    from stepbench_reports.schema.profile import ProfileFindings

DISCOVERY_STEPS = 4
"""The number of an optimizer's first steps in which roles are recognised."""

Steps = Generator[int, None, None]
"""Yields the number of steps to take before it goes on."""


class EnoughStepsError(SystemExit):
    """Ends a script at a step's end, as `sys.exit` does."""


@dataclass
class Totals:
    """The sums over all turns.

    Attributes:
        wall_s: The time of all steps that were recorded, with evaluation, seconds.
        other_s: The part of it that no phase explains, seconds.
        evaluation_s: The part of it in which the script evaluated its model, seconds.
        evaluations: The number of stretches of evaluation.
        phases: The phases that were seen.
    """

    wall_s: float = 0.0
    other_s: float = 0.0
    evaluation_s: float = 0.0
    evaluations: int = 0
    phases: set[str] = field(default_factory=set)

    def add(self, steps: list[ScriptStep]) -> None:
        """Adds the steps of a stretch, whose parts are in nanoseconds."""
        for step in steps:
            for part, ns in step.parts.items():
                self.wall_s += ns / 1e9
                self.other_s += ns / 1e9 if part == "other" else 0.0
                self.evaluation_s += ns / 1e9 if part == EVALUATION else 0.0
                if part != EVALUATION:
                    self.phases.add(part)
            self.evaluations += step.evaluations


class StepEnds:
    """Counts a script's steps, and holds it at their ends.

    Args:
        link: The connection to the process that commands the turns.
        request: The script.
        recorder: The marks.
        observer: What is known of the script's objects.
    """

    def __init__(
        self,
        link: PlayerLink,
        request: ScriptRequest,
        recorder: Recorder,
        observer: ScriptObserver,
    ) -> None:
        self._link = link
        self._request = request
        self._recorder = recorder
        self._observer = observer
        self.totals = Totals()
        self.roles: Roles | None = None
        self.ready = False
        self.finish: Finish | None = None
        self.profile: ProfileFindings | None = None
        self.first_step_s = 0.0
        self._step_s = 0.0
        self._earlier_steps = 0
        self._began_s = time.perf_counter()
        self._turn: _Turn | None = None
        self._play = self._steps()
        recorder.begin_stretch(next(self._play))

    @property
    def steps(self) -> int:
        """The number of the script's steps."""
        return self._earlier_steps + self._recorder.taken

    def step_end(self) -> None:
        """Goes on with the measurement where a stretch of steps is over."""
        self._earlier_steps += self._recorder.end_stretch()
        if self.finish is not None:  # the script has caught the exception and goes on
            raise EnoughStepsError(0)
        self._recorder.begin_stretch(next(self._play))
        self._recorder.resume()

    # --- before turns ----------------------------------------------------------------------------

    def _steps(self) -> Steps:
        yield 1
        self.first_step_s = time.perf_counter() - (self._observer.began_s or self._began_s)
        self._observer.after_first_step()
        marks = yield from self._discover()
        self._observer.after_discovery()
        prepare = self._link.next_command()
        if not isinstance(prepare, Prepare):
            raise TypeError(f"{prepare!r}: is not the first command to a player")
        self.roles = recognise(marks)
        self._recorder.main_optimizer = self.roles.main_optimizer
        self._earlier_steps = self.roles.updates.get(self.roles.main_optimizer or 0, 0)
        ready = yield from self._warm_up()
        self._watch = MachineWatch(self._observer.gauge())
        self._probe = SpeedProbe()
        self._cores = usable_cores()
        self.ready = True
        self._link.answer(ready)
        while True:
            command = self._link.next_command()
            if isinstance(command, Finish):
                if self._request.trace is not None:
                    yield from self._trace(self._request.trace)
                self.finish = command
                raise EnoughStepsError(0)
            yield from self._take(command)

    def _trace(self, request: ScriptTrace) -> Steps:
        """Takes a trace of some steps."""
        assert self.roles is not None  # noqa: S101  # recognised before the first turn
        self._link("tracing")
        tracing = Tracing(request, self._recorder, self._observer.device)
        tracing.begin()
        yield TRACE_WARMUP
        tracing.begin_marks()
        yield request.steps
        self._observer.synchronize()
        self.profile = tracing.end(self.roles)

    def _discover(self) -> Generator[int, None, list[Mark]]:
        """Takes steps until an optimizer has made some; returns the marks."""
        marks, _ = self._recorder.take()
        while max(recognise(marks).updates.values(), default=0) < DISCOVERY_STEPS:
            yield 1
            self._observer.look_again(marks)
            marks += self._recorder.take()[0]
        return marks

    def _warm_up(self) -> Generator[int, None, Ready]:
        self._link("warming up")
        began_s, steps, windows_s = time.perf_counter(), 0, list[float]()
        size = 1
        while True:
            self._recorder.take()
            yield size
            taken = self._split(*self._recorder.take())
            self.totals.add(taken)
            step_s = sum(step.duration for step in taken) / len(taken) / 1e9
            steps += len(taken)
            if steps > 1:  # the first window gives only the number of steps that fill one
                windows_s.append(step_s)
            elapsed_s = time.perf_counter() - began_s
            steady = bool(windows_s) and is_steady(windows_s)
            if steady or elapsed_s > self._request.warm_up_s:
                break
            size = max(2, round(WARMUP_WINDOW_S / step_s))
            if step_s > SLOW_STEP_S:
                self._link(f"warming up, step {steps}")
        compilation.end_workers()
        self._step_s = step_s
        facts = WarmUpFacts(steps=steps, elapsed_s=elapsed_s, steady=steady, step_s=step_s)
        workers = len(self._workers())
        return Ready(facts, step_s, self._observer.prefetched_steps(), _threads(), workers)

    def _split(self, marks: list[Mark], events: list[object]) -> list[ScriptStep]:
        """Splits the marks of a stretch; iterators that appear in it are recognised, too."""
        assert self.roles is not None  # noqa: S101  # recognised before the warm-up
        self.roles = self.roles.joined(recognise(marks))
        return split(marks, self.roles, self._observer.event_times(events) if events else None)

    # --- turns -----------------------------------------------------------------------------------

    def _take(self, command: TakeTurn) -> Steps:
        """Takes a turn; a script that ends within it has `end_early` answer."""
        if not self._request.alone:  # workers that are started later would stay on one core
            use_cores(command.cores or self._cores)
        probe_s = self._probe.elapsed_s()
        slow = self._step_s >= SLOW_STEP_S
        untimed = 0 if self._request.alone or slow else UNTIMED_STEPS
        if not self._request.alone:
            untimed = max(untimed, self._observer.prefetched_steps())
        if untimed:
            yield untimed
        self._observer.synchronize()
        self._recorder.take()
        if command.kind is TurnKind.LAPPED:
            self._observer.record_events(self._recorder)
        self._turn = turn = _Turn(
            command, probe_s, self._workers(), compilation.count(), run_delay_s()
        )
        self._watch.list_processes()
        self._watch.begin()
        turn.began_s = time.perf_counter()
        if slow:
            for step in range(command.steps):
                yield 1
                self._link(f"{command.kind} turn, step {step + 1}")
        else:
            yield command.steps
        self._link.answer(self._end_turn(turn))
        self._turn = None

    def _end_turn(self, turn: "_Turn", *, ended: bool = False) -> TurnResult:
        self._observer.synchronize()
        elapsed_s = time.perf_counter() - turn.began_s
        use, delayed_s = self._watch.end(), run_delay_s()
        marks, events = self._recorder.take()
        host = self._split(marks, [])
        if not host:
            return TurnResult(reason="the script ended", ended=True, steps=0)
        self.totals.add(host)
        device = self._split(marks, events) if events else None
        evaluation_s = sum(step.parts.get(EVALUATION, 0.0) for step in host) / 1e9
        if ended:  # what follows the last step is no part of it
            elapsed_s = sum(sum(step.parts.values()) for step in host) / 1e9
        lapped = turn.command.kind is TurnKind.LAPPED
        result = TurnResult(
            elapsed_s=elapsed_s - evaluation_s,
            host=_track(host, 1e-9) if lapped else None,
            device=_track(device, 1.0) if lapped and device is not None else None,
            machine_use=use,
            run_delay_s=None
            if turn.delay_s is None or delayed_s is None
            else delayed_s - turn.delay_s,
            probe_s=turn.probe_s,
            compiled=compilation.count() != turn.compiled,
            steps=len(host),
            ended=ended,
        )
        compilation.end_workers()
        if not self._request.alone:
            wait_until_idle(self._observer.clock, turn.workers)
        return result

    def _workers(self) -> list[int]:
        return [child.pid for child in psutil.Process().children(recursive=True)]

    # --- the script's own end --------------------------------------------------------------------

    def end_early(self) -> None:
        """Answers commands after the script has ended by itself, until the last one."""
        if self._turn is not None:
            self._link.answer(self._end_turn(self._turn, ended=True))
        while self.finish is None:
            command: Any = self._link.next_command()
            if isinstance(command, Finish):
                self.finish = command
            else:
                self._link.answer(TurnResult(reason="the script has ended", ended=True, steps=0))


@dataclass
class _Turn:
    """A turn under way."""

    command: TakeTurn
    probe_s: float
    workers: list[int]
    compiled: int
    delay_s: float | None
    began_s: float = 0.0


def _track(steps: list[ScriptStep], unit_s: float) -> dict[str, list[float]]:
    """The laps of steps, seconds, without evaluation."""
    names = {part for step in steps for part in step.parts} - {EVALUATION}
    track = {name: [step.parts.get(name, 0.0) * unit_s for step in steps] for name in names}
    return {**track, STEP: [step.duration * unit_s for step in steps]}


def _threads() -> int:
    import torch  # noqa: PLC0415  # the script has imported it

    return torch.get_num_threads()
