"""Part A of `truth.py`: are phases of known duration read back as long as they were?"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from truth_record import Aim, Part, say, span, table

from bench.clock import HostDevice, LapTimer
from bench.cycle import Placement, Training, train
from bench.phases import STEP, Phase
from reports.stats import Interval, median_interval

PHASES = (Phase.DATALOAD, Phase.FORWARD, Phase.BACKWARD, Phase.OPTIMIZER)
STEPS = {50_000: 150, 200_000: 100, 1_000_000: 50, 5_000_000: 15, 50_000_000: 3}
"""The spins, nanoseconds, and how many steps a block of each has."""
ROUNDS = 10
SHARE, FLOOR_S = 0.01, 20e-6
"""The aim: within this share of the truth, or this long, whichever is more."""
CAUSE_NS, CAUSE_STEPS = 4_000_000, 15
"""The spins that the search for a cause is made with."""

Spins = Mapping[Phase, int]
"""How long each phase spins, nanoseconds."""
STILL: Spins = dict.fromkeys(PHASES, 0)


def rest() -> None:
    """Fills a spin with nothing but looking at the clock."""


class Spinner:
    """Spins, and logs how long it really did.

    A spin of zero length goes through the same code, so that the spinner's own cost is in what is
    measured without spinning, too.
    """

    def __init__(self) -> None:
        self.spins = STILL
        self.fill: Callable[[], object] = rest
        self.log: dict[Phase, list[int]] = {phase: [] for phase in PHASES}

    def __call__(self, phase: Phase) -> None:
        """Spins for a phase's duration."""
        began = now = time.perf_counter_ns()
        until = began + self.spins[phase]
        while now < until:
            self.fill()
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
            optimizer=Optimizer(model.parameters(), lr=0.01),
            placement=Placement(torch.device("cpu")),
            autocast=nullcontext,
        )
        self._batches: Iterator[Any] = iter(DataLoader(Items(spin), batch_size=2))

    def run(self, steps: int) -> None:
        """Takes some steps, untimed."""
        with torch.enable_grad():
            train(self._training, self._batches, steps)

    def measure(self, spins: Spins, steps: int) -> Block:
        """Measures a block, after an untimed step that leaves the caches as every other does."""
        self.spin.spins = spins
        self.run(1)
        self.spin.forget()
        timer = LapTimer(HostDevice())
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


# --- the baselines -------------------------------------------------------------------------------


def still(_phase: Phase, _spin_ns: int) -> Spins:
    """Nothing spins."""
    return STILL


def others(phase: Phase, spin_ns: int) -> Spins:
    """All the other phases spin."""
    return {other: 0 if other is phase else spin_ns for other in PHASES}


def moved(phase: Phase, spin_ns: int) -> Spins:
    """The phase's spin is made a part of the phase before it."""
    before = PHASES[PHASES.index(phase) - 1]
    return {**others(phase, spin_ns), before: 2 * spin_ns}


BASELINES = {"moved": moved, "others": others, "still": still}


@dataclass(frozen=True)
class Recovery:
    """How a phase was read back, by round: seconds.

    Attributes:
        truth: What it took: the log and the phase's own code, as `moved` shows it.
        errors: What was read, less the truth, by baseline.
    """

    truth: NDArray[np.float64]
    errors: Mapping[str, NDArray[np.float64]]

    @property
    def allowed_s(self) -> float:
        """The aim."""
        return max(SHARE * float(np.median(self.truth)), FLOOR_S)

    @property
    def error(self) -> Interval:
        """The median error and its interval."""
        return median_interval(self.errors["moved"])

    @property
    def met(self) -> bool:
        """Whether it is within the aim."""
        return abs(self.error.value) <= self.allowed_s


@dataclass(frozen=True)
class Durations:
    """What part A found.

    Attributes:
        recovered: By spin, nanoseconds, and phase.
        gaps: The sum of a block's laps against the block's own clock, by spin.
        causes: What a phase's own code takes, seconds, by what fills the spins, and by phase.
    """

    recovered: Mapping[int, Mapping[Phase, Recovery]]
    gaps: Mapping[int, NDArray[np.float64]]
    causes: Mapping[str, Mapping[Phase, float]]


def measure(rounds: int) -> Durations:
    """Runs part A."""
    torch.set_num_threads(1)
    workload = Workload()
    workload.run(200)
    recovered, gaps = {}, {}
    for spin_ns, steps in STEPS.items():
        say(f"A: phases of {spin_ns / 1e6:g} ms")
        recovered[spin_ns], gaps[spin_ns] = recover(workload, spin_ns, steps, rounds)
    say("A: why is code slower after a spin?")
    return Durations(recovered, gaps, find_cause(workload, rounds))


def recover(
    workload: Workload, spin_ns: int, steps: int, rounds: int
) -> tuple[dict[Phase, Recovery], NDArray[np.float64]]:
    """Measures spins of one duration, in rounds of every kind of block in random order."""
    order = random.Random(spin_ns)  # noqa: S311  # an order, not a secret
    plans: dict[tuple[str, Phase | None], Spins] = {("all", None): dict.fromkeys(PHASES, spin_ns)}
    plans |= {
        (name, phase): plan(phase, spin_ns) for name, plan in BASELINES.items() for phase in PHASES
    }
    found: list[dict[tuple[str, Phase | None], Block]] = []
    for _ in range(rounds):
        keys = order.sample(list(plans), len(plans))
        found.append({key: workload.measure(plans[key], steps) for key in keys})

    def recovery(phase: Phase) -> Recovery:
        own = {
            name: np.array([blocks[name, phase].own[phase] for blocks in found])
            for name in BASELINES
        }
        read = np.array([blocks["all", None].own[phase] for blocks in found])
        spun = np.array([blocks["all", None].spun[phase] for blocks in found])
        return Recovery(spun + own["moved"], {name: read - base for name, base in own.items()})

    gaps = np.array([blocks["all", None].gap for blocks in found])
    return {phase: recovery(phase) for phase in PHASES}, gaps


def find_cause(workload: Workload, rounds: int) -> dict[str, dict[Phase, float]]:
    """What the phases' own code takes after spins that differ in what they do to the caches."""
    twin = Workload()
    memory, little = np.ones(2**20), np.ones(64)
    kinds: dict[str, tuple[Callable[[], object], int]] = {
        "no spin": (rest, 0),
        "looks at the clock": (rest, CAUSE_NS),
        "keeps training a twin": (partial(twin.run, 1), CAUSE_NS),
        "computes with vector units": (little.sum, CAUSE_NS),
        "sweeps 8 MiB of memory": (memory.sum, CAUSE_NS),
    }
    found: dict[str, list[Block]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, (fill, spin_ns) in kinds.items():
            workload.spin.fill = fill
            found[kind].append(workload.measure(dict.fromkeys(PHASES, spin_ns), CAUSE_STEPS))
    workload.spin.fill = rest
    return {
        kind: {phase: float(np.median([block.own[phase] for block in blocks])) for phase in PHASES}
        for kind, blocks in found.items()
    }


# --- how it is told ------------------------------------------------------------------------------


def tell(found: Durations) -> Part:
    """Part A as Markdown, with its aims."""
    return Part("Phases of known duration", _text(found), (*_aims(found),))


def _aims(found: Durations) -> Iterator[Aim]:
    cells = [cell for phases in found.recovered.values() for cell in phases.values()]
    met = sum(cell.met for cell in cells)
    worst = max(cells, key=lambda cell: abs(cell.error.value) / cell.allowed_s)
    yield Aim(
        "each phase at each duration within 1 % of the truth or 20 µs, whichever is more",
        f"{met} of {len(cells)}; the worst is off by {worst.error.value * 1e6:+.1f} µs, where "
        f"{worst.allowed_s * 1e6:.0f} µs are allowed",
        met == len(cells),
    )
    gap = max((float(gap) for gaps in found.gaps.values() for gap in gaps), key=abs)
    yield Aim(
        "the laps of every block sum to its own clock within 1 %",
        f"the worst block is off by {gap:+.3%}",
        abs(gap) <= SHARE,
    )


def _row(spin_ns: int, phase: Phase, cell: Recovery) -> list[str]:
    error = cell.errors["moved"] * 1e6
    return [
        f"{spin_ns / 1e6:g} ms",
        str(phase),
        f"{np.median(cell.truth) * 1e6:,.0f} µs",
        f"{cell.error.value * 1e6:+.1f} µs",
        span(median_interval(error), "+.1f"),
        f"{cell.error.value / float(np.median(cell.truth)):+.2%}",
        f"{max(error, key=abs):+.1f} µs",
        f"±{cell.allowed_s * 1e6:.0f} µs" + ("" if cell.met else " **missed**"),
    ]


def _baseline_row(spin_ns: int, phases: Mapping[Phase, Recovery]) -> list[str]:
    means = (
        np.mean([np.median(cell.errors[name]) for cell in phases.values()]) for name in BASELINES
    )
    return [f"{spin_ns / 1e6:g} ms", *(f"{mean * 1e6:+.1f} µs" for mean in means)]


def _text(found: Durations) -> str:
    head = ["spin", "phase", "truth", "error", "95 % interval", "share", "worst block", "aim"]
    rows = [
        _row(spin_ns, phase, cell)
        for spin_ns, phases in found.recovered.items()
        for phase, cell in phases.items()
    ]
    baselines = [_baseline_row(*item) for item in found.recovered.items()]
    causes = [
        [kind, *(f"{own[phase] * 1e6:.0f} µs" for phase in PHASES)]
        for kind, own in found.causes.items()
    ]
    gaps = [
        [f"{spin_ns / 1e6:g} ms", f"{np.median(of_spin):+.4%}", f"{max(of_spin, key=abs):+.4%}"]
        for spin_ns, of_spin in found.gaps.items()
    ]
    rounds = len(next(iter(found.gaps.values())))
    return f"""\
Each phase spins amid its own work and logs for how long it really did. The truth is the log plus
what the phase's own code takes (Python, autograd, making tensors), which is measured by blocks in
which this phase does not spin and the phase before it spins for both. The error is what stepbench
read, less the truth: the median of a block's steps, in each of {rounds} rounds of blocks in random
order.

{table(head, rows)}

The sum of a block's laps against the block's own clock, where all its phases spin:

{table(["spin", "median", "worst block"], gaps)}

### Why the baseline spins as well

A phase's own code takes longer after a spin, though nothing is added to it. This is the mean error
of the four phases by what the own code is measured with: the spin moved into the phase before,
only the *other* phases spinning (the step is then shorter by a spin), and nothing spinning.

{table(["spin", "moved", "only others spin", "nothing spins"], baselines)}

Against a workload at rest the error is next to nothing after short spins and grows with the spin,
as no cost of taking a lap does: it is the code that is cold. What the phases' own code takes, by
what goes on during spins of {CAUSE_NS / 1e6:g} ms:

{table(["the spin", *map(str, PHASES)], causes)}

A spin that looks at the clock touches next to no memory: while it runs, the timer's interrupts, the
host and whoever shares the core's caches push out what the training had left there. So a spin that
keeps training a twin of the workload leaves next to no excess, and one that sweeps through memory
leaves more of it. That the processor lets its vector units sleep is not the cause: keeping them
busy is of no help.
"""
