"""Does each phase read back as long as it was? A workload of known durations is measured.

Its loader, forward, backward and optimizer each spin for milliseconds and log how long they did.
What remains of a phase without spinning (Python, autograd, making tensors) is measured by the same
workload with spins of zero length, and added to the log. Blocks with and without spinning
alternate, so that a drift of the machine meets both.

Writes `known_durations.md` beside itself: `nox -s study -- known_durations`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from bench.clock import HostDevice, LapTimer
from bench.cycle import Training, train
from bench.host import cpu_name, usable_cores
from bench.phases import Phase
from reports.stats import median_interval

SPINS_S = {
    Phase.DATALOAD: 0.003,
    Phase.FORWARD: 0.004,
    Phase.BACKWARD: 0.005,
    Phase.OPTIMIZER: 0.002,
}
BLOCKS = 15
STEPS = 40


class Spinner:
    """Spins, and logs how long it really did."""

    def __init__(self) -> None:
        self.scale = 1.0
        self.log: dict[Phase, list[float]] = {phase: [] for phase in SPINS_S}

    def __call__(self, phase: Phase) -> None:
        """Spins for a phase's duration."""
        if self.scale == 0:
            return
        began = time.perf_counter_ns()
        until = began + SPINS_S[phase] * 1e9
        while (now := time.perf_counter_ns()) < until:
            pass
        self.log[phase].append((now - began) / 1e9)


class Items(Dataset[Any]):
    """Two items a batch; the first one spins."""

    def __init__(self, spin: Spinner) -> None:
        self._spin = spin

    def __len__(self) -> int:
        return 2 * 10_000

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


def workload(spin: Spinner) -> tuple[Training, Iterator[Any]]:
    """A linear layer whose every phase also spins."""
    model = nn.Linear(4, 1)
    apply: Callable[[Tensor, Spinner], Tensor] = Spin.apply

    class Optimizer(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            spin(Phase.OPTIMIZER)
            return super().step(closure)

    training = Training(
        model=lambda inputs: apply(model(inputs), spin),
        loss=nn.MSELoss(),
        optimizer=Optimizer(model.parameters(), lr=0.01),
        device=torch.device("cpu"),
        autocast=nullcontext,
    )
    return training, iter(DataLoader(Items(spin), batch_size=2))


def measure(training: Training, stream: Iterator[Any]) -> tuple[dict[str, Any], float]:
    """The laps of a block, and the block's whole duration by a clock of its own."""
    timer = LapTimer(HostDevice())
    began = time.perf_counter()
    timer.begin()
    train(training, stream, STEPS, timer.lap, timer.end_step)
    elapsed_s = time.perf_counter() - began
    return timer.read().host, elapsed_s


def main() -> None:
    """Runs the study and writes its table."""
    torch.set_num_threads(1)
    spin = Spinner()
    training, stream = workload(spin)
    measure(training, stream)
    errors: dict[Phase, list[float]] = {phase: [] for phase in SPINS_S}
    gaps = []
    for _ in range(BLOCKS):
        spin.scale = 0.0
        plain, _ = measure(training, stream)
        spin.scale = 1.0
        for log in spin.log.values():
            log.clear()
        spun, elapsed_s = measure(training, stream)
        gaps.append(spun["step"].sum() / elapsed_s - 1)
        for phase in SPINS_S:
            truth = np.array(spin.log[phase]) + np.median(plain[phase])
            errors[phase].append(float(np.median((spun[phase] - truth) / truth)))
    write(errors, gaps)


def write(errors: dict[Phase, list[float]], gaps: list[float]) -> None:
    """Writes the table, and says whether the aims were met."""
    rows = []
    for phase, found in errors.items():
        interval = median_interval(found)
        rows.append(
            f"| {phase} | {SPINS_S[phase] * 1e3:g} ms | {interval.value:+.3%} "
            f"| {interval.low:+.3%} to {interval.high:+.3%} | {max(map(abs, found)):.3%} |"
        )
    worst = max(abs(median(found)) for found in errors.values())
    text = f"""# Known durations

Each phase spins for a known time and logs it. The truth is the log plus what the same phase takes
with no spin; the error is what stepbench read, less the truth, as a share of it: the median of
{STEPS} steps in each of {BLOCKS} blocks. Aim: within 3 % of the phase, and laps that sum to the
step within 1 %.

| phase | spin | error (median of blocks) | 95 % interval | worst block |
| --- | ---: | ---: | ---: | ---: |
{chr(10).join(rows)}

The sum of all laps against the block's own clock: {median(gaps):+.4%} (worst
{max(gaps, key=abs):+.4%}).

{cpu_name()}, {usable_cores()} cores, one thread; torch {torch.__version__}. Repeat it with
`nox -s study -- known_durations`.
"""
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)
    met = worst < 0.03 and abs(median(gaps)) < 0.01
    print("the aims are met" if met else "THE AIMS ARE NOT MET")


if __name__ == "__main__":
    main()
