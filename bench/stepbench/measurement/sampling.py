"""Samples lapped and bare blocks alternately, until the median step time is precise."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import structs

from stepbench.devices.clock import DeviceClock
from stepbench.interference.watch import MAX_OTHERS, MAX_STEAL, Watch, interferes
from stepbench.measurement.laps import LapArrays, join
from stepbench.measurement.timed_loop import TimedLoop
from stepbench_reports.analysis.stats import median_interval
from stepbench_reports.schema.measurement import (
    Block,
    BlockNoise,
    MachineUse,
    Noise,
    NoiseLimits,
    SamplingFacts,
)
from stepbench_reports.schema.run import SamplingOptions

BLOCK_S = 0.2
"""The minimum duration of a block, seconds."""
BLOCK_STEPS = 5
"""The minimum number of steps in a block."""
BLOCK_READY_FACTOR = 8
"""The minimum number of steps in a block per step that the loader keeps ready, if time allows."""
MIN_BLOCKS = 6
"""The minimum number of blocks, half of them lapped, unless the time limit is reached."""
MIN_STEPS = 30
"""The minimum number of lapped steps for which the median's interval is trusted."""
REPEAT_S = 1.0
"""The maximum extra time for repeating blocks, as a share of the time for sampling."""
REPEAT_BLOCKS = 3
"""The maximum number of discarded blocks, per block that counts so far (plus `MIN_BLOCKS`)."""
MAX_DISCARDED = 0.2
"""A case is marked for interference if more than this share of its blocks was discarded, since
interference reaches beyond the blocks that show it. Fewer than ten blocks count as ten."""


@dataclass(frozen=True)
class Samples:
    """The result of sampling.

    Attributes:
        laps: The laps of all the lapped blocks that count, in order.
        blocks: Every block that counts, in order.
        sampling: Why sampling ended, and how precise the median step is.
        noise: The interference during sampling.
    """

    laps: LapArrays
    blocks: tuple[Block, ...]
    sampling: SamplingFacts
    noise: Noise


def sample(
    timed_loop: TimedLoop,
    sampling: SamplingOptions,
    watch: Watch,
    lap_clock: DeviceClock,
    *,
    ready: int,
    step_s: float,
    report: Callable[[str], None],
) -> Samples:
    """Measures lapped and bare blocks alternately, until the median step time is precise.

    A block with interference is discarded and measured again, as long as `may_repeat` allows it.

    Args:
        timed_loop: The loop to measure.
        sampling: The limits of time, steps and precision.
        watch: Reports the interference during a block.
        lap_clock: The clock that laps are read from.
        ready: The number of steps for which the loader keeps batches ready. As many steps, but at
            most the size of the block, run untimed before each block. The block thus consumes no
            batches that were prepared while nothing was measured.
        step_s: The approximate duration of a step, seconds.
        report: Called with a short progress message.
    """
    began = time.perf_counter()
    record = _Record(sampling)
    while True:
        size = block_size(sampling, ready, step_s)
        timed_loop.run(min(ready, size))
        watch.begin()
        block, laps = record.take_next(timed_loop, size, lap_clock)
        machine_use = watch.end()
        step_s = min(step_s, block.elapsed_s / block.steps)  # interference may have slowed warm-up
        elapsed_s = time.perf_counter() - began
        if interferes(machine_use) and may_repeat(
            sampling, len(record.blocks), record.discarded, elapsed_s
        ):
            record.discard(block, machine_use)
            report(f"sampling (interference; discarded blocks: {record.discarded})")
            continue
        record.keep(block, laps, machine_use)
        reason = why_stop(sampling, record.rel_error, record.lapped, len(record.blocks), elapsed_s)
        if reason is not None:
            return record.samples(reason, elapsed_s)


class _Record:
    """The blocks measured so far.

    Attributes:
        blocks: The blocks that count, in order.
        lapped: The number of steps in lapped blocks that count.
        discarded: The number of blocks that do not count, since they had interference.
        rel_error: Half the width of the median step's interval, as a share of the median; `None`
            if unknown.
    """

    def __init__(self, sampling: SamplingOptions) -> None:
        self.blocks: list[Block] = []
        self.lapped = 0
        self.discarded = 0
        self.rel_error: float | None = None
        self._sampling = sampling
        self._laps: list[LapArrays] = []
        self._noise: list[BlockNoise] = []
        self._kept_interference = False

    def take_next(
        self, timed_loop: TimedLoop, size: int, lap_clock: DeviceClock
    ) -> tuple[Block, LapArrays | None]:
        """Times the next block: a lapped one, or a bare one of as many steps as the last block."""
        if len(self.blocks) % 2:
            return timed_loop.bare(self.blocks[-1].steps), None
        steps = self._sampling.steps
        return timed_loop.lapped(
            size if steps is None else min(size, steps - self.lapped), lap_clock
        )

    def discard(self, block: Block, machine_use: MachineUse) -> None:
        """Records a block that does not count."""
        self.discarded += 1
        self._noise.append(_noise_of(block, machine_use, kept=False))

    def keep(self, block: Block, laps: LapArrays | None, machine_use: MachineUse) -> None:
        """Adds a block that counts."""
        self._noise.append(_noise_of(block, machine_use, kept=True))
        self._kept_interference = self._kept_interference or interferes(machine_use)
        self.blocks.append(block)
        if laps is not None:
            self._laps.append(laps)
            self.lapped += block.steps
        self.rel_error = half_width(np.concatenate([part.steps for part in self._laps]))

    def samples(self, reason: str, elapsed_s: float) -> Samples:
        """Returns the samples taken.

        Args:
            reason: Why sampling is over, as `why_stop` gives it.
            elapsed_s: The duration of sampling, seconds.
        """
        max_discarded = MAX_DISCARDED * max(10, len(self._noise))
        return Samples(
            laps=join(self._laps),
            blocks=tuple(self.blocks),
            sampling=SamplingFacts(
                stopped=reason,
                rel_error=self.rel_error,
                target=self._sampling.rel_error,
                elapsed_s=elapsed_s,
            ),
            noise=Noise(
                interference=self._kept_interference or self.discarded > max_discarded,
                discarded=self.discarded,
                limits=NoiseLimits(others=MAX_OTHERS, steal=MAX_STEAL),
                blocks=tuple(self._noise),
            ),
        )


def _noise_of(block: Block, machine_use: MachineUse, *, kept: bool) -> BlockNoise:
    return BlockNoise(kind=block.kind, kept=kept, **structs.asdict(machine_use))


def may_repeat(sampling: SamplingOptions, counted: int, discarded: int, elapsed_s: float) -> bool:
    """True if a block with interference may be measured again; if not, the block must count."""
    return (
        elapsed_s < sampling.max_time_s * (1 + REPEAT_S)
        and discarded < (counted + MIN_BLOCKS) * REPEAT_BLOCKS
    )


def block_size(sampling: SamplingOptions, ready: int, step_s: float) -> int:
    """The number of steps in a block.

    A block lasts at least `BLOCK_S`, has at least `BLOCK_STEPS` steps, and consumes at least
    `BLOCK_READY_FACTOR` times what the loader keeps ready. It has fewer steps if the time would
    otherwise be too short for `MIN_BLOCKS`, or if `sampling.steps` is less.
    """
    steps = max(BLOCK_STEPS, round(BLOCK_S / step_s), BLOCK_READY_FACTOR * ready)
    if sampling.steps is not None:
        return max(1, min(steps, sampling.steps))
    max_steps = int(sampling.max_time_s / MIN_BLOCKS / step_s) - ready
    return max(1, min(steps, max_steps))


def why_stop(
    sampling: SamplingOptions, rel_error: float | None, lapped: int, blocks: int, elapsed_s: float
) -> str | None:
    """The reason why sampling is over: `steps`, `precise` or `time`; `None` if it is to go on."""
    if blocks % 2:  # the last block is lapped; the bare block of its pair follows
        return None
    if sampling.steps is not None:
        return "steps" if lapped >= sampling.steps else None
    if (
        blocks >= MIN_BLOCKS
        and lapped >= MIN_STEPS
        and rel_error is not None
        and rel_error <= sampling.rel_error
    ):
        return "precise"
    return "time" if elapsed_s >= sampling.max_time_s else None


def half_width(steps: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    """Half the width of the median's 95 % interval, as a share of the median; `None` if unknown."""
    interval = median_interval(steps)
    if not np.isfinite(interval.low) or not np.isfinite(interval.high):
        return None
    return float((interval.high - interval.low) / 2 / interval.value)
