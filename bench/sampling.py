"""Warm-up, and sampling in blocks: lapped and bare in turn, until the median step is precise."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from bench.clock import Device, Laps, LapTimer
from bench.cycle import Loop, Training
from bench.disturbance import MOST_OTHERS, MOST_STEAL, Disturbance, Watch
from bench.measurement import Block
from bench.phases import STEP, Phase
from bench.request import Sampling
from reports.stats import median_interval

BLOCK_S = 0.2
"""How long a block lasts at least."""
BLOCK_STEPS = 5
"""How many steps a block has at least."""
BLOCK_READY = 8
"""How many times what the loader keeps ready a block consumes at least, time allowing."""
LEAST_BLOCKS = 6
"""How many blocks are measured at least, half of them lapped, unless the time is up."""
LEAST_STEPS = 30
"""How many lapped steps an interval is believed from."""
WARMUP_WINDOW_S = 0.1
"""How long a window of warm-up lasts at least."""
WARMUP_SETTLED = 0.05
"""Warm-up has settled once a window's mean step is no more than this below the last one's."""
WARMUP_SHARE = 0.5
"""Warm-up ends, settled or not, after this share of the time for sampling."""
AGAIN_S = 1.0
"""Disturbed blocks are measured again for so many times the time for sampling, at most."""
AGAIN_BLOCKS = 3
"""Disturbed blocks are measured again for so many times the blocks that counted so far, at most."""


MOST_SET_ASIDE = 0.2
"""A case is marked as disturbed where more than this share of its blocks had to be set aside: what
a neighbour does reaches beyond the blocks that it is seen in. Fewer than ten count as ten."""


class Batches(Protocol):
    """Where batches come from."""

    batches: Iterator[Any]


@dataclass(frozen=True)
class Subject:
    """What is measured, as it stands: a loop at work on a stream of batches.

    Attributes:
        loop: The loop.
        training: What it runs.
        source: Where its batches come from, without end.
        clock: The device's clock.
    """

    loop: Loop
    training: Training
    source: Batches
    clock: Device

    def run(self, steps: int) -> None:
        """Goes through some steps, untimed."""
        self.loop(self.training, self.source.batches, steps)

    def laps(self) -> list[Phase]:
        """The phases that end in a step, in order: those of one that is run for it."""
        found: list[Phase] = []
        self.loop(self.training, self.source.batches, 1, found.append)
        return found

    def bare(self, steps: int) -> Block:
        """A bare block: the plain loop, waited for at its end."""
        self.clock.synchronize()
        began = time.perf_counter()
        self.loop(self.training, self.source.batches, steps)
        self.clock.synchronize()
        return Block(kind="bare", steps=steps, elapsed_s=time.perf_counter() - began)

    def lapped(self, steps: int, clock: Device | None = None) -> tuple[Block, Laps]:
        """A lapped block and its laps, by the device's clock or another."""
        timer = LapTimer(clock or self.clock)
        self.clock.synchronize()
        began = time.perf_counter()
        timer.begin()
        self.loop(self.training, self.source.batches, steps, timer.lap, timer.end_step)
        self.clock.synchronize()
        elapsed_s = time.perf_counter() - began
        return Block(kind="lapped", steps=steps, elapsed_s=elapsed_s), timer.read()


@dataclass(frozen=True)
class WarmUp:
    """What came before sampling. The fields are those of `docs/run-directory.md`."""

    steps: int
    elapsed_s: float
    settled: bool
    step_s: float


def warm_up(subject: Subject, sampling: Sampling) -> WarmUp:
    """Runs until steps have stopped getting faster, or the time for it is up.

    Steps run in windows. The rule looks at the last two: warm-up is over once the later one's mean
    step is less than `WARMUP_SETTLED` below the earlier one's.
    """
    began = time.perf_counter()
    steps, size = 0, 1
    earlier: float | None = None
    while True:
        window = subject.bare(size)
        steps += size
        step_s = window.elapsed_s / size
        settled = earlier is not None and step_s > earlier * (1 - WARMUP_SETTLED)
        elapsed_s = time.perf_counter() - began
        if settled or elapsed_s > sampling.max_time_s * WARMUP_SHARE:
            break
        # The first window was a single step: from it, find how many fill a window.
        if steps > 1:
            earlier = step_s
        size = max(2, round(WARMUP_WINDOW_S / step_s))
    return WarmUp(steps, elapsed_s, settled, step_s)


@dataclass(frozen=True)
class Samples:
    """What sampling gave.

    Attributes:
        laps: Of all the lapped blocks that counted, one after the other.
        blocks: Every block that counted, in order.
        sampling: The run directory's `sampling`.
        noise: The run directory's `noise`.
    """

    laps: Laps
    blocks: tuple[Block, ...]
    sampling: dict[str, Any]
    noise: dict[str, Any]


def sample(
    subject: Subject,
    sampling: Sampling,
    watch: Watch,
    lap_clock: Device,
    *,
    ready: int,
    step_s: float,
    report: Callable[[str], None],
) -> Samples:
    """Measures blocks, lapped and bare in turn, until the median step is precise.

    A block that was disturbed is set aside and measured again, while `may_repeat` allows it.

    Args:
        subject: What to measure.
        sampling: How long.
        watch: Tells what went on around a block.
        lap_clock: What the laps are taken by.
        ready: For how many steps the loader keeps batches ready. Each block goes through as many
            untimed first (though never longer than it lasts itself), so that it does not feed on
            what was prepared while nothing was measured.
        step_s: What a step takes, roughly.
        report: Is told in a word how far it is.
    """
    began = time.perf_counter()
    blocks: list[Block] = []
    laps: list[Laps] = []
    noise: list[dict[str, Any]] = []
    lapped, set_aside, forced = 0, 0, False
    while True:
        size = block_size(sampling, ready, step_s)
        subject.run(min(ready, size))
        bare = bool(len(blocks) % 2)
        steps = size if sampling.steps is None else min(size, sampling.steps - lapped)
        watch.begin()
        if bare:
            block, block_laps = subject.bare(blocks[-1].steps), None
        else:
            block, block_laps = subject.lapped(steps, lap_clock)
        disturbance = watch.end()
        step_s = min(step_s, block.elapsed_s / block.steps)  # warm-up may have been disturbed
        elapsed_s = time.perf_counter() - began
        repeat = disturbance.disturbed and may_repeat(sampling, len(blocks), set_aside, elapsed_s)
        noise.append(_told(block, disturbance, kept=not repeat))
        if repeat:
            set_aside += 1
            report(f"sampling ({set_aside} disturbed blocks set aside)")
            continue
        forced = forced or disturbance.disturbed
        blocks.append(block)
        if block_laps is not None:
            laps.append(block_laps)
            lapped += block.steps
        rel_error = half_width(np.concatenate([part.steps for part in laps]))
        stopped = why_stop(sampling, rel_error, lapped, len(blocks), elapsed_s)
        if stopped is not None:
            return Samples(
                laps=join(laps),
                blocks=tuple(blocks),
                sampling={
                    "stopped": stopped,
                    "rel_error": rel_error,
                    "target": sampling.rel_error,
                    "elapsed_s": elapsed_s,
                },
                noise={
                    "disturbed": forced or set_aside > MOST_SET_ASIDE * max(10, len(noise)),
                    "set_aside": set_aside,
                    "limits": {"others": MOST_OTHERS, "steal": MOST_STEAL},
                    "blocks": noise,
                },
            )


def _told(block: Block, disturbance: Disturbance, *, kept: bool) -> dict[str, Any]:
    return {"kind": block.kind, "kept": kept, **asdict(disturbance)}


def may_repeat(sampling: Sampling, counted: int, set_aside: int, elapsed_s: float) -> bool:
    """Whether a disturbed block may be measured again, or must count after all."""
    return (
        elapsed_s < sampling.max_time_s * (1 + AGAIN_S)
        and set_aside < (counted + LEAST_BLOCKS) * AGAIN_BLOCKS
    )


def block_size(sampling: Sampling, ready: int, step_s: float) -> int:
    """How many steps a block has.

    Enough for its time and its count, and for consuming many times what the loader keeps ready,
    unless that would leave too few blocks in the time there is.
    """
    wanted = max(BLOCK_STEPS, round(BLOCK_S / step_s), BLOCK_READY * ready)
    if sampling.steps is not None:
        return max(1, min(wanted, sampling.steps))
    affordable = int(sampling.max_time_s / LEAST_BLOCKS / step_s) - ready
    return max(1, min(wanted, affordable))


def why_stop(
    sampling: Sampling, rel_error: float | None, lapped: int, blocks: int, elapsed_s: float
) -> str | None:
    """Why sampling is over: `steps`, `precise` or `time`; `None` while it is not."""
    if blocks % 2:  # a lapped block whose bare twin is still to come
        return None
    if sampling.steps is not None:
        return "steps" if lapped >= sampling.steps else None
    if (
        blocks >= LEAST_BLOCKS
        and lapped >= LEAST_STEPS
        and rel_error is not None
        and rel_error <= sampling.rel_error
    ):
        return "precise"
    return "time" if elapsed_s >= sampling.max_time_s else None


def half_width(steps: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    """Half the width of the median step's 95 % interval as a share of it; `None` if unknown."""
    interval = median_interval(steps)
    if not np.isfinite(interval.low) or not np.isfinite(interval.high):
        return None
    return float((interval.high - interval.low) / 2 / interval.value)


def join(laps: list[Laps]) -> Laps:
    """The laps of several blocks, one after the other; 0 for a phase that a block never ended."""

    def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
        names = dict.fromkeys(name for part in parts for name in part)
        return {
            name: np.concatenate([part.get(name, np.zeros_like(part[STEP])) for part in parts])
            for name in names
        }

    devices = [part.device for part in laps if part.device is not None]
    widths = [{name: laps.shape[1] for name, laps in part.micro.items()} for part in laps]
    return Laps(
        host=joined([part.host for part in laps]),
        device=joined(devices) if devices else None,
        micro={
            name: np.concatenate([part.micro[name] for part in laps])
            for name, width in widths[0].items()
            if all(each.get(name) == width for each in widths)
        },
    )
