"""A training loop whose phases spin for a known time: what `truth_durations.py` reads back."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from stepbench.devices.clock import HostClock
from stepbench.measurement.laps import LapTimer
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.loop import train
from stepbench.training.training import Training
from stepbench.training.update import Update
from stepbench_reports.schema.phases import STEP, Phase

PHASES = (Phase.DATALOAD, Phase.FORWARD, Phase.BACKWARD, Phase.OPTIMIZER)
STEPS = {50_000: 150, 200_000: 100, 1_000_000: 50, 5_000_000: 15, 50_000_000: 3}
"""The spins, nanoseconds, and how many steps a block of each has."""
WARMUP = 200
"""Steps before anything is measured."""
SHARE, FLOOR_S = 0.01, 20e-6
"""The aim: within this share of the truth, or this long, whichever is more."""
CAUSE_NS, CAUSE_STEPS = 4_000_000, 15
"""The spins that the search for a cause is made with."""

Spins = Mapping[Phase, int]
"""How long each phase spins, nanoseconds."""
STILL: Spins = dict.fromkeys(PHASES, 0)


@dataclass(frozen=True)
class Fill:
    """What a spin is filled with: something that is done as long as there is time for it.

    Attributes:
        do: Does it once.
        takes_ns: How long that takes at most, but for disturbance; the spin's rest is looking at
            the clock.
    """

    do: Callable[[], object]
    takes_ns: int = 0


LOOKING = Fill(lambda: None)
"""Fills a spin with nothing but looking at the clock."""


class Spinner:
    """Spins, and logs how long it really did.

    A spin of zero length goes through the same code, so that the spinner's own cost is in what is
    measured without spinning, too.
    """

    def __init__(self) -> None:
        self.spins = STILL
        self.fill = LOOKING
        self.log: dict[Phase, list[int]] = {phase: [] for phase in PHASES}

    def __call__(self, phase: Phase) -> None:
        """Spins for a phase's duration."""
        began = now = time.perf_counter_ns()
        until = began + self.spins[phase]
        last = until - self.fill.takes_ns
        while now < until:
            if now < last:
                self.fill.do()
            now = time.perf_counter_ns()
        self.log[phase].append(now - began)

    def forget(self) -> None:
        """Empties the log."""
        for entries in self.log.values():
            entries.clear()


class Items(Dataset[Any]):
    """Two items a batch; the first one spins. There is no end of them."""

    def __init__(self, spin: Spinner) -> None:
        self._spin = spin

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if index % 2 == 0:
            self._spin(Phase.DATALOAD)
        return torch.ones(4), torch.zeros(1)


class Spin(torch.autograd.Function):
    """The identity; spins forward and backward."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, spin: Spinner) -> Any:
        """Spins, and passes the value on."""
        ctx.spin = spin
        spin(Phase.FORWARD)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Spins, and passes the gradient on."""
        ctx.spin(Phase.BACKWARD)
        return gradients[0], None


@dataclass(frozen=True)
class Block:
    """A block of steps: by phase, what was logged and what the laps leave beside it, seconds."""

    spun: Mapping[Phase, float]
    own: Mapping[Phase, float]
    gap: float
    """The sum of all laps against the block's own clock."""


class Workload:
    """A linear layer whose every phase also spins, amid its own work."""

    def __init__(self) -> None:
        self.spin = spin = Spinner()
        model = nn.Linear(4, 1)
        apply: Callable[[Tensor, Spinner], Tensor] = Spin.apply

        class Optimizer(torch.optim.SGD):
            def step(self, closure: Any = None) -> Any:
                spin(Phase.OPTIMIZER)
                return super().step(closure)

        self._training = Training(
            model=lambda inputs: apply(model(inputs), spin),
            loss=nn.MSELoss(),
            updates={"optimizer": Update(Optimizer(model.parameters(), lr=0.01))},
            placement=DeviceTransfer(torch.device("cpu")),
            autocast=nullcontext,
        )
        self._batches: Iterator[Any] = iter(DataLoader(Items(spin), batch_size=2))

    def run(self, steps: int) -> None:
        """Takes some steps, untimed."""
        with torch.enable_grad():
            train(self._training, self._batches, steps)

    def measure(self, spins: Spins, steps: int, fill: Fill) -> Block:
        """Measures a block, after an untimed step that leaves the caches as every other does."""
        self.spin.spins, self.spin.fill = spins, fill
        self.run(1)
        self.spin.forget()
        timer = LapTimer(HostClock())
        began = time.perf_counter()
        timer.begin()
        train(self._training, self._batches, steps, timer.lap, timer.end_step)
        elapsed_s = time.perf_counter() - began
        laps = timer.read().host
        log = {phase: np.array(entries) / 1e9 for phase, entries in self.spin.log.items()}
        return Block(
            spun={phase: float(np.median(log[phase])) for phase in PHASES},
            own={phase: float(np.median(laps[phase] - log[phase])) for phase in PHASES},
            gap=float(laps[STEP].sum() / elapsed_s - 1),
        )


class Twin:
    """A second such workload that never spins: training it keeps warm what training needs."""

    def __init__(self) -> None:
        self._workload = Workload()
        self._workload.run(WARMUP)

    def train(self) -> None:
        """Takes a step."""
        self._workload.run(1)
        self._workload.spin.forget()

    def fill(self) -> Fill:
        """A spin's filling, with room for the slower of its steps."""
        took = []
        for _ in range(WARMUP):
            began = time.perf_counter_ns()
            self.train()
            took.append(time.perf_counter_ns() - began)
        return Fill(self.train, int(np.quantile(took, 0.9)))
