"""Runs a training loop on a stream of batches, timed in blocks of steps."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any, Protocol

from stepbench.devices.clock import DeviceClock
from stepbench.measurement.laps import LapArrays, LapTimer
from stepbench.training.loop import Loop
from stepbench.training.phases import no_end
from stepbench.training.training import Training
from stepbench_reports.schema.measurement import Block
from stepbench_reports.schema.phases import Phase


class Batches(Protocol):
    """A source of batches."""

    batches: Iterator[Any]


class RepeatedBatch:
    """A source that yields the same batch without end."""

    def __init__(self, batch: Any) -> None:  # noqa: ANN401  # a batch is anything
        self.batches: Iterator[Any] = repeat(batch)


@dataclass(frozen=True)
class TimedLoop:
    """A loop with a stream of batches, run and timed in blocks of steps.

    The functions `end_step` are called after each step of a block, within its time.

    Attributes:
        loop: The loop.
        training: The training that the loop runs.
        source: The source of the loop's batches, which never end.
        clock: The device's clock.
    """

    loop: Loop
    training: Training
    source: Batches
    clock: DeviceClock

    def run(self, steps: int, end_step: Callable[[], None] = no_end) -> None:
        """Runs steps without timing them."""
        self.loop(self.training, self.source.batches, steps, end_step=end_step)

    def step_phases(self) -> list[Phase]:
        """Runs one step, and returns the phases that end in the step, in order."""
        phases: list[Phase] = []
        self.loop(self.training, self.source.batches, 1, phases.append)
        return phases

    def bare(self, steps: int, end_step: Callable[[], None] = no_end) -> Block:
        """Times a bare block: the loop without laps, the device synchronized at both ends."""
        self.clock.synchronize()
        began = time.perf_counter()
        self.loop(self.training, self.source.batches, steps, end_step=end_step)
        self.clock.synchronize()
        return Block(kind="bare", steps=steps, elapsed_s=time.perf_counter() - began)

    def lapped(
        self,
        steps: int,
        clock: DeviceClock | None = None,
        end_step: Callable[[], None] = no_end,
    ) -> tuple[Block, LapArrays]:
        """Times a lapped block and its laps, by `clock` or else by the device's clock."""
        lap_clock = clock or self.clock
        marks = 1 + steps * self._laps_per_step if lap_clock.asynchronous else 0
        timer = LapTimer(lap_clock, marks)
        end = timer.end_step if end_step is no_end else _both(timer.end_step, end_step)
        self.clock.synchronize()
        began = time.perf_counter()
        timer.begin()
        self.loop(self.training, self.source.batches, steps, timer.lap, end)
        self.clock.synchronize()
        elapsed_s = time.perf_counter() - began
        return Block(kind="lapped", steps=steps, elapsed_s=elapsed_s), timer.read()

    @cached_property
    def _laps_per_step(self) -> int:
        """The number of laps in a step, from an untimed one."""
        return len(self.step_phases())


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def call_both() -> None:
        first()
        second()

    return call_both
