"""A training loop with phases that spin for a known time, for `truth_durations.py`."""

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
"""By spin, nanoseconds, the number of steps in a block."""
WARMUP = 200
"""The number of steps before the first measurement."""
SHARE, FLOOR_S = 0.01, 20e-6
"""The aim: an error of at most this share of the truth or this time, whichever is more."""
CAUSE_NS, CAUSE_STEPS = 4_000_000, 15
"""The spin and the steps of blocks in the search for a cause."""

Spins = Mapping[Phase, int]
"""The spin of each phase, nanoseconds."""
NO_SPINS: Spins = dict.fromkeys(PHASES, 0)


@dataclass(frozen=True)
class Fill:
    """The work that a spin repeats while there is time for it.

    Attributes:
        work: Does the work once.
        max_ns: The longest duration of the work without interference, nanoseconds; the spin reads
            the clock for the rest of its time.
    """

    work: Callable[[], object]
    max_ns: int = 0


READ_CLOCK = Fill(lambda: None)
"""A spin that only reads the clock."""


class Spinner:
    """Spins, and logs the actual duration.

    A spin of length zero runs the same code, so that measurements without spins include the cost of
    the spinner.
    """

    def __init__(self) -> None:
        self.spins = NO_SPINS
        self.fill = READ_CLOCK
        self.log: dict[Phase, list[int]] = {phase: [] for phase in PHASES}

    def __call__(self, phase: Phase) -> None:
        """Spins for a phase's duration."""
        began = now = time.perf_counter_ns()
        end = began + self.spins[phase]
        last_start = end - self.fill.max_ns
        while now < end:
            if now < last_start:
                self.fill.work()
            now = time.perf_counter_ns()
        self.log[phase].append(now - began)

    def clear_log(self) -> None:
        """Empties the log."""
        for entries in self.log.values():
            entries.clear()


class Items(Dataset[Any]):
    """Practically endless items for batches of two; the first item of a batch spins."""

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
    """A block of steps.

    Attributes:
        spun: The logged spins by phase, seconds.
        code: The laps without the logged spins by phase, seconds.
        gap: The sum of all laps relative to the block's duration.
    """

    spun: Mapping[Phase, float]
    code: Mapping[Phase, float]
    gap: float


class Workload:
    """Training of a linear layer in which every phase also spins."""

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
            transfer=DeviceTransfer(torch.device("cpu")),
            autocast=nullcontext,
        )
        self._batches: Iterator[Any] = iter(DataLoader(Items(spin), batch_size=2))

    def run(self, steps: int) -> None:
        """Runs some steps without timing."""
        with torch.enable_grad():
            train(self._training, self._batches, steps)

    def measure(self, spins: Spins, steps: int, fill: Fill) -> Block:
        """Measures a block, after an untimed step so that caches are in their usual state."""
        self.spin.spins, self.spin.fill = spins, fill
        self.run(1)
        self.spin.clear_log()
        timer = LapTimer(HostClock())
        began = time.perf_counter()
        timer.begin()
        train(self._training, self._batches, steps, timer.lap, timer.end_step)
        elapsed_s = time.perf_counter() - began
        laps = timer.read().host
        log = {phase: np.array(entries) / 1e9 for phase, entries in self.spin.log.items()}
        return Block(
            spun={phase: float(np.median(log[phase])) for phase in PHASES},
            code={phase: float(np.median(laps[phase] - log[phase])) for phase in PHASES},
            gap=float(laps[STEP].sum() / elapsed_s - 1),
        )


class SecondWorkload:
    """A second workload that never spins; training it keeps the data of training in the caches."""

    def __init__(self) -> None:
        self._workload = Workload()
        self._workload.run(WARMUP)

    def train(self) -> None:
        """Runs a step."""
        self._workload.run(1)
        self._workload.spin.clear_log()

    def fill(self) -> Fill:
        """A spin that trains this workload; its `max_ns` allows for slow steps."""
        steps_ns = []
        for _ in range(WARMUP):
            began = time.perf_counter_ns()
            self.train()
            steps_ns.append(time.perf_counter_ns() - began)
        return Fill(self.train, int(np.quantile(steps_ns, 0.9)))
