"""Part B of `truth.py`: what does taking laps cost in a short step?"""

import gc
import itertools
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch.profilers import SimpleProfiler
from numpy.typing import NDArray
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function
from truth_record import Aim, Part, median_interval, print_progress, span, table

from stepbench.devices.clock import HostClock
from stepbench.measurement.laps import LapTimer
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.loop import train
from stepbench.training.phases import forward
from stepbench.training.training import Training
from stepbench.training.update import Update
from stepbench_reports.analysis.stats import Interval
from stepbench_reports.schema.phases import Phase

STEP_S = 1e-3
"""The approximate duration of a step, seconds."""
STEPS = 50
UNTIMED = 3
"""Untimed steps before each block, so that the block before has no effect through the caches."""
ROUNDS = 250
TURNS, TURN_STEPS = 8, 10
"""How often stepbench and the loop timed by hand take turns in each round (A B B A), and the steps
of each turn. The machine changes less between short turns."""
MAX_OVERHEAD = 0.005
"""The aim: the largest overhead of stepbench, as a share of a step."""
MAX_BEYOND_HAND = 0.0025
"""The aim: the largest difference to a loop timed by hand, as a share of a step."""
BATCH = 32
STEPBENCH, BY_HAND, LIGHTNING, TORCH = (
    "stepbench",
    "perf_counter_ns by hand",
    "Lightning SimpleProfiler",
    "torch.profiler",
)

TimedLoop = tuple[Training, Iterator[Any]]
Method = Callable[[TimedLoop, int], float]
"""Runs a block of a number of steps, and returns its duration in seconds."""


def timed_loop(width: int) -> TimedLoop:
    """A perceptron with endless repetitions of one batch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
    training = Training(
        model=model,
        loss=nn.CrossEntropyLoss(),
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9))},
        transfer=DeviceTransfer(torch.device("cpu")),
        autocast=nullcontext,
    )
    batch = (torch.randn(BATCH, width), torch.randint(10, (BATCH,)))
    return training, itertools.repeat(batch)


def calibrated() -> TimedLoop:
    """The loop with a step closest to `STEP_S`."""

    def error(width: int) -> float:
        candidate = timed_loop(width)
        bare(candidate, STEPS)
        step_s = float(np.median([bare(candidate, STEPS) for _ in range(5)])) / STEPS
        return abs(step_s / STEP_S - 1)

    return timed_loop(min(range(128, 1025, 32), key=error))


# --- the methods ---------------------------------------------------------------------------------


def bare(loop: TimedLoop, steps: int) -> float:
    """Runs stepbench's loop without laps."""
    began = time.perf_counter()
    train(*loop, steps)
    return time.perf_counter() - began


def lapped(loop: TimedLoop, steps: int) -> float:
    """Runs stepbench's loop with laps."""
    timer = LapTimer(HostClock())
    began = time.perf_counter()
    timer.begin()
    train(*loop, steps, timer.lap, timer.end_step)
    return time.perf_counter() - began


def by_hand(loop: TimedLoop, steps: int) -> float:
    """Runs the same loop with the simplest laps: clock readings appended to a list."""
    times: list[int] = []

    def lap(_: Phase) -> None:
        times.append(time.perf_counter_ns())

    began = time.perf_counter()
    train(*loop, steps, lap)
    return time.perf_counter() - began


def in_contexts(
    loop: TimedLoop, steps: int, context: Callable[[str], AbstractContextManager[object]]
) -> float:
    """Runs the same steps with a context manager around each phase, as for profilers."""
    training, batches = loop
    began = time.perf_counter()
    for _ in range(steps):
        with context(Phase.DATALOAD):
            inputs, target = next(batches)
        with context(Phase.FORWARD):
            loss = forward(training, inputs, target)
        with context(Phase.BACKWARD):
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        with context(Phase.OPTIMIZER):
            training.update(None)
    return time.perf_counter() - began


def under_lightning(loop: TimedLoop, steps: int) -> float:
    """Runs steps under Lightning's profiler, used as in its trainer."""
    return in_contexts(loop, steps, SimpleProfiler().profile)


def under_torch_profiler(loop: TimedLoop, steps: int) -> float:
    """Runs steps under PyTorch's profiler; its work after the end of a block does not count."""
    with profile(activities=[ProfilerActivity.CPU]):
        return in_contexts(loop, steps, record_function)


METHODS: Mapping[str, Method] = {
    STEPBENCH: lapped,
    BY_HAND: by_hand,
    LIGHTNING: under_lightning,
    TORCH: under_torch_profiler,
}


@dataclass(frozen=True)
class Overhead:
    """The results of part B.

    Attributes:
        step_s: The bare step, seconds.
        shares: The overhead by method and round: the difference between the method's block and the
            mean of the bare blocks before and after it, as a share of that mean.
        beyond: By round, the difference between stepbench's turns and the turns timed by hand, as a
            share of the latter. A drift of the machine cancels out.
    """

    step_s: float
    shares: Mapping[str, NDArray[np.float64]]
    beyond: NDArray[np.float64]

    def share(self, method: str) -> Interval:
        """A method's median overhead with its interval."""
        return median_interval(self.shares[method])

    @property
    def beyond_hand(self) -> Interval:
        """The cost of stepbench's laps beyond that of laps taken by hand."""
        return median_interval(self.beyond)


def measure(rounds: int) -> Overhead:
    """Runs part B."""
    torch.set_num_threads(1)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch.profiler logs each start and stop
    print_progress("B: looking for a step of about 1 ms")
    loop = calibrated()
    for method in (bare, *METHODS.values()):
        method(loop, STEPS)
    gc.collect()
    gc.freeze()  # so that collecting a block's garbage is fast
    order = random.Random(0)  # noqa: S311  # an order, not a secret
    shares: dict[str, list[float]] = {name: [] for name in METHODS}
    beyond: list[float] = []
    bare_s = [timed(bare, loop)]
    for number in range(rounds):
        if number % 50 == 0:
            print_progress(f"B: round {number + 1} of {rounds}")
        for name in order.sample(list(METHODS), len(METHODS)):
            block_s = timed(METHODS[name], loop)
            bare_s.append(timed(bare, loop))
            shares[name].append(block_s / ((bare_s[-2] + bare_s[-1]) / 2) - 1)
        beyond.append(in_turns(loop, order))
    gc.unfreeze()
    return Overhead(
        step_s=float(np.median(bare_s)) / STEPS,
        shares={name: np.array(values) for name, values in shares.items()},
        beyond=np.array(beyond),
    )


def timed(method: Method, loop: TimedLoop) -> float:
    """Times a block, after a garbage collection and untimed steps that warm the caches."""
    gc.collect()
    train(*loop, UNTIMED)
    return method(loop, STEPS)


def in_turns(loop: TimedLoop, order: random.Random) -> float:
    """The difference between stepbench and the loop timed by hand, as a share of the latter."""
    gc.collect()
    train(*loop, UNTIMED)
    spent_s = {lapped: 0.0, by_hand: 0.0}
    for _ in range(TURNS):
        first, second = order.sample((lapped, by_hand), 2)
        for method in (first, second, second, first):
            spent_s[method] += method(loop, TURN_STEPS)
    return spent_s[lapped] / spent_s[by_hand] - 1


# --- the description -----------------------------------------------------------------------------


def describe(overhead: Overhead) -> Part:
    """Part B as Markdown, with its aims."""
    rows = []
    for name in METHODS:
        share = overhead.share(name)
        rows.append(
            [
                name,
                f"{share.value:+.2%}",
                span(share, "+.2%"),
                f"{share.value * overhead.step_s * 1e6:+.1f} µs",
            ]
        )
    rounds = len(overhead.shares[STEPBENCH])
    text = f"""\
A perceptron's training step of {overhead.step_s * 1e3:.2f} ms on one thread. In one process, bare
blocks of {STEPS} steps (stepbench's loop without laps) alternate with blocks of the methods in
random order. A method's overhead is the difference between its block and the mean of the bare
blocks before and after it: the median of {rounds} rounds. In each round, stepbench and the
loop timed by hand also take turns, {TURNS} times A B B A of {TURN_STEPS} steps each: stepbench
takes {overhead.beyond_hand.value:+.2%} of a step more ({span(overhead.beyond_hand, "+.2%")}).
Of the profilers, only the time during the steps counts.

{table(["method", "overhead", "95 % interval", "per step"], rows)}
"""
    return Part("What taking laps costs", text, (*_aims(overhead),))


def _aims(overhead: Overhead) -> Iterator[Aim]:
    stepbench, beyond = overhead.share(STEPBENCH), overhead.beyond_hand
    lightning, profiler = overhead.share(LIGHTNING), overhead.share(TORCH)
    yield Aim(
        f"stepbench costs at most {MAX_OVERHEAD:.1%} of a step of 1 ms",
        f"{stepbench.value:+.2%} ({span(stepbench, '+.2%')})",
        stepbench.high <= MAX_OVERHEAD,
    )
    yield Aim(
        "stepbench costs less than Lightning's SimpleProfiler and torch.profiler",
        f"{stepbench.value:+.2%} against {lightning.value:+.2%} and {profiler.value:+.2%}",
        stepbench.high < min(lightning.low, profiler.low),
    )
    yield Aim(
        f"stepbench costs at most {MAX_BEYOND_HAND:.2%} of a step more than a loop timed by hand",
        f"{beyond.value:+.2%} ({span(beyond, '+.2%')})",
        beyond.high <= MAX_BEYOND_HAND,
    )
