"""Part B of `truth.py`: what does it cost a short step that its laps are taken?"""

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
from truth_record import Aim, Part, say, span, table

from stepbench.devices.clock import HostClock
from stepbench.measurement.laps import LapTimer
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.loop import train
from stepbench.training.parts import forward
from stepbench.training.training import Training
from stepbench.training.update import Update
from stepbench_reports.analysis.stats import Interval, median_interval
from stepbench_reports.schema.phases import Phase

STEP_S = 1e-3
"""How long a step is to be, about."""
STEPS = 50
UNTIMED = 3
"""Steps before each block, so that none pays for what the last one left in the caches."""
ROUNDS = 250
TURNS, TURN_STEPS = 8, 10
"""How often stepbench and the loop timed by hand take turns in each round (A B B A), and the steps
of each turn: the shorter, the less the machine changes in between."""
MOST = 0.005
"""The aim: stepbench's share of a step at most."""
LEVEL = 0.0025
"""How much more than a loop timed by hand still counts as level with it: half of that."""
BATCH = 32
STEPBENCH, BY_HAND, LIGHTNING, TORCH = (
    "stepbench",
    "perf_counter_ns by hand",
    "Lightning SimpleProfiler",
    "torch.profiler",
)

Subject = tuple[Training, Iterator[Any]]
Method = Callable[[Subject, int], float]
"""Runs a block of so many steps and returns its seconds."""


def subject(width: int) -> Subject:
    """A perceptron and its one batch, again and again."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
    training = Training(
        model=model,
        loss=nn.CrossEntropyLoss(),
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9))},
        placement=DeviceTransfer(torch.device("cpu")),
        autocast=nullcontext,
    )
    batch = (torch.randn(BATCH, width), torch.randint(10, (BATCH,)))
    return training, itertools.repeat(batch)


def calibrated() -> Subject:
    """The subject whose step is nearest to `STEP_S`."""

    def off(width: int) -> float:
        candidate = subject(width)
        bare(candidate, STEPS)
        step_s = float(np.median([bare(candidate, STEPS) for _ in range(5)])) / STEPS
        return abs(step_s / STEP_S - 1)

    return subject(min(range(128, 1025, 32), key=off))


# --- the methods ---------------------------------------------------------------------------------


def bare(subject: Subject, steps: int) -> float:
    """The loop of stepbench, without laps."""
    began = time.perf_counter()
    train(*subject, steps)
    return time.perf_counter() - began


def lapped(subject: Subject, steps: int) -> float:
    """The same loop with stepbench's laps."""
    timer = LapTimer(HostClock())
    began = time.perf_counter()
    timer.begin()
    train(*subject, steps, timer.lap, timer.end_step)
    return time.perf_counter() - began


def by_hand(subject: Subject, steps: int) -> float:
    """The same loop with the least that a lap can be: a clock reading, appended to a list."""
    times: list[int] = []

    def lap(_: Phase) -> None:
        times.append(time.perf_counter_ns())

    began = time.perf_counter()
    train(*subject, steps, lap)
    return time.perf_counter() - began


def in_contexts(
    subject: Subject, steps: int, context: Callable[[str], AbstractContextManager[object]]
) -> float:
    """The same steps with a context around each phase, as profilers take them."""
    training, batches = subject
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


def under_lightning(subject: Subject, steps: int) -> float:
    """Lightning's profiler, as its trainer uses it."""
    return in_contexts(subject, steps, SimpleProfiler().profile)


def under_torch_profiler(subject: Subject, steps: int) -> float:
    """PyTorch's profiler; what it does once a block has ended is not counted."""
    with profile(activities=[ProfilerActivity.CPU]):
        return in_contexts(subject, steps, record_function)


METHODS: Mapping[str, Method] = {
    STEPBENCH: lapped,
    BY_HAND: by_hand,
    LIGHTNING: under_lightning,
    TORCH: under_torch_profiler,
}


@dataclass(frozen=True)
class Overhead:
    """What part B found.

    Attributes:
        step_s: The bare step.
        shares: By method and round, how much longer its block was than the mean of the two bare
            ones beside it, as a share of these.
        beyond: By round, how much longer stepbench's turns were than those timed by hand, as a
            share of these, in an order that a drift cancels in.
    """

    step_s: float
    shares: Mapping[str, NDArray[np.float64]]
    beyond: NDArray[np.float64]

    def share(self, method: str) -> Interval:
        """A method's median share and its interval."""
        return median_interval(self.shares[method])

    @property
    def beyond_hand(self) -> Interval:
        """How much more stepbench's laps cost than those taken by hand."""
        return median_interval(self.beyond)


def measure(rounds: int) -> Overhead:
    """Runs part B."""
    torch.set_num_threads(1)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch.profiler logs each start and stop
    say("B: looking for a step of about 1 ms")
    training = calibrated()
    for method in (bare, *METHODS.values()):
        method(training, STEPS)
    gc.collect()
    gc.freeze()  # so that what a block leaves behind is found fast, and before the next one
    order = random.Random(0)  # noqa: S311  # an order, not a secret
    shares: dict[str, list[float]] = {name: [] for name in METHODS}
    beyond: list[float] = []
    plain = [timed(bare, training)]
    for number in range(rounds):
        if number % 50 == 0:
            say(f"B: round {number + 1} of {rounds}")
        for name in order.sample(list(METHODS), len(METHODS)):
            block_s = timed(METHODS[name], training)
            plain.append(timed(bare, training))
            shares[name].append(block_s / ((plain[-2] + plain[-1]) / 2) - 1)
        beyond.append(in_turns(training, order))
    gc.unfreeze()
    return Overhead(
        step_s=float(np.median(plain)) / STEPS,
        shares={name: np.array(values) for name, values in shares.items()},
        beyond=np.array(beyond),
    )


def timed(method: Method, training: Subject) -> float:
    """One block, after the last one's garbage is gone and the caches are warm."""
    gc.collect()
    train(*training, UNTIMED)
    return method(training, STEPS)


def in_turns(training: Subject, order: random.Random) -> float:
    """How much longer stepbench takes than the loop timed by hand, as a share of that."""
    gc.collect()
    train(*training, UNTIMED)
    spent_s = {lapped: 0.0, by_hand: 0.0}
    for _ in range(TURNS):
        one, other = order.sample((lapped, by_hand), 2)
        for method in (one, other, other, one):
            spent_s[method] += method(training, TURN_STEPS)
    return spent_s[lapped] / spent_s[by_hand] - 1


# --- how it is told ------------------------------------------------------------------------------


def tell(found: Overhead) -> Part:
    """Part B as Markdown, with its aims."""
    rows = []
    for name in METHODS:
        share = found.share(name)
        rows.append(
            [
                name,
                f"{share.value:+.2%}",
                span(share, "+.2%"),
                f"{share.value * found.step_s * 1e6:+.1f} µs",
            ]
        )
    rounds = len(found.shares[STEPBENCH])
    text = f"""\
A perceptron's training step of {found.step_s * 1e3:.2f} ms on one thread. Blocks of {STEPS} steps
alternate in one process: after each bare block (stepbench's loop without laps) one of a method, in
random order. Its overhead is how much longer it took than the mean of the two bare blocks beside
it: the median of {rounds} rounds. In each round stepbench and the loop timed by hand also take
turns directly, {TURNS} times A B B A of {TURN_STEPS} steps each: stepbench takes
{found.beyond_hand.value:+.2%} of a step more ({span(found.beyond_hand, "+.2%")}). Of the profilers
only what they do during the steps is counted.

{table(["method", "overhead", "95 % interval", "a step"], rows)}
"""
    return Part("What taking laps costs", text, (*_aims(found),))


def _aims(found: Overhead) -> Iterator[Aim]:
    ours, beyond = found.share(STEPBENCH), found.beyond_hand
    lightning, profiler = found.share(LIGHTNING), found.share(TORCH)
    yield Aim(
        f"stepbench costs at most {MOST:.1%} of a step of 1 ms",
        f"{ours.value:+.2%} ({span(ours, '+.2%')})",
        ours.high <= MOST,
    )
    yield Aim(
        "less than Lightning's SimpleProfiler and torch.profiler",
        f"{ours.value:+.2%} against {lightning.value:+.2%} and {profiler.value:+.2%}",
        ours.high < min(lightning.low, profiler.low),
    )
    yield Aim(
        f"level with a loop timed by hand: at most {LEVEL:.2%} of a step more",
        f"{beyond.value:+.2%} ({span(beyond, '+.2%')})",
        beyond.high <= LEVEL,
    )
