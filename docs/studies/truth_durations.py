"""Part A of `truth.py`: are phases of known duration read back as long as they were?"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from truth_record import Aim, Part, say, span, table
from truth_spins import (
    CAUSE_NS,
    CAUSE_STEPS,
    FLOOR_S,
    LOOKING,
    PHASES,
    SHARE,
    STEPS,
    STILL,
    WARMUP,
    Block,
    Fill,
    Spins,
    Twin,
    Workload,
)

from stepbench_reports.analysis.stats import Interval, median_interval
from stepbench_reports.schema.phases import Phase

ROUNDS = 10

# --- recovering what is known --------------------------------------------------------------------


def moved(phase: Phase, spin_ns: int) -> Spins:
    """The phase's spin is made a part of the phase before it."""
    before = PHASES[PHASES.index(phase) - 1]
    return {**dict.fromkeys(PHASES, spin_ns), phase: 0, before: 2 * spin_ns}


@dataclass(frozen=True)
class Recovery:
    """How a phase was read back, by round: seconds.

    Attributes:
        truth: What it took: the log, and the phase's own code as it is where nothing spins.
        read: The phase's own code as it was read beside the log.
        still: The same where nothing spins.
        cold: The same beside a spin that only looks at the clock.
        moved: The same where that spin is a part of the phase before.
    """

    truth: NDArray[np.float64]
    read: NDArray[np.float64]
    still: NDArray[np.float64]
    cold: NDArray[np.float64]
    moved: NDArray[np.float64]

    @property
    def allowed_s(self) -> float:
        """The aim."""
        return max(SHARE * float(np.median(self.truth)), FLOOR_S)

    @property
    def errors(self) -> NDArray[np.float64]:
        """What was read, less the truth."""
        return self.read - self.still

    @property
    def error(self) -> Interval:
        """The median error and its interval."""
        return median_interval(self.errors)

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
    workload, twin = Workload(), Twin()
    workload.run(WARMUP)
    recovered, gaps = {}, {}
    for spin_ns, steps in STEPS.items():
        say(f"A: phases of {spin_ns / 1e6:g} ms")
        recovered[spin_ns], gaps[spin_ns] = recover(workload, twin, spin_ns, steps, rounds)
    say("A: why is code slower after a spin?")
    return Durations(recovered, gaps, find_cause(workload, twin, rounds))


def recover(
    workload: Workload, twin: Twin, spin_ns: int, steps: int, rounds: int
) -> tuple[dict[Phase, Recovery], NDArray[np.float64]]:
    """Measures spins of one duration, in rounds of every kind of block in random order."""
    order = random.Random(spin_ns)  # noqa: S311  # an order, not a secret
    everywhere, fill = dict.fromkeys(PHASES, spin_ns), twin.fill()
    plans: dict[str, tuple[Spins, Fill]] = {
        "read": (everywhere, fill),
        "still": (STILL, LOOKING),
        "cold": (everywhere, LOOKING),
        **{f"moved {phase}": (moved(phase, spin_ns), LOOKING) for phase in PHASES},
    }
    found: list[dict[str, Block]] = []
    for _ in range(rounds):
        kinds = order.sample(list(plans), len(plans))
        found.append(
            {kind: workload.measure(plans[kind][0], steps, plans[kind][1]) for kind in kinds}
        )

    def recovery(phase: Phase) -> Recovery:
        def own(kind: str) -> NDArray[np.float64]:
            return np.array([blocks[kind].own[phase] for blocks in found])

        spun = np.array([blocks["read"].spun[phase] for blocks in found])
        still = own("still")
        return Recovery(spun + still, own("read"), still, own("cold"), own(f"moved {phase}"))

    gaps = np.array([blocks["read"].gap for blocks in found])
    return {phase: recovery(phase) for phase in PHASES}, gaps


def find_cause(workload: Workload, twin: Twin, rounds: int) -> dict[str, dict[Phase, float]]:
    """What the phases' own code takes after spins that differ in what they do to the caches."""
    memory, little = np.ones(2**20), np.ones(64)
    kinds: dict[str, tuple[Fill, int]] = {
        "no spin": (LOOKING, 0),
        "keeps training a twin": (twin.fill(), CAUSE_NS),
        "looks at the clock": (LOOKING, CAUSE_NS),
        "computes with vector units": (Fill(little.sum), CAUSE_NS),
        "sweeps 8 MiB of memory": (Fill(memory.sum), CAUSE_NS),
    }
    found: dict[str, list[Block]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, (fill, spin_ns) in kinds.items():
            spins = dict.fromkeys(PHASES, spin_ns)
            found[kind].append(workload.measure(spins, CAUSE_STEPS, fill))
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
    error = cell.errors * 1e6
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


def _cold_row(spin_ns: int, phases: Mapping[Phase, Recovery]) -> list[str]:
    cells = phases.values()
    means = (
        np.mean([np.median(cell.errors) for cell in cells]),
        np.mean([np.median(cell.cold - cell.still) for cell in cells]),
        np.mean([np.median(cell.cold - cell.moved) for cell in cells]),
    )
    return [f"{spin_ns / 1e6:g} ms", *(f"{mean * 1e6:+.1f} µs" for mean in means)]


def _text(found: Durations) -> str:
    head = ["spin", "phase", "truth", "error", "95 % interval", "share", "worst block", "aim"]
    rows = [
        _row(spin_ns, phase, cell)
        for spin_ns, phases in found.recovered.items()
        for phase, cell in phases.items()
    ]
    cold = [_cold_row(*item) for item in found.recovered.items()]
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
what the phase's own code takes (Python, autograd, making tensors) in blocks in which nothing
spins. The error is what stepbench read, less the truth: the median of a block's steps, in each of
{rounds} rounds of blocks in random order. A spin trains a twin of the workload as long as there is
time for a step of it, and then looks at the clock: why, is told below.

{table(head, rows)}

The sum of a block's laps against the block's own clock, where all its phases spin:

{table(["spin", "median", "worst block"], gaps)}

### Why the spins keep training a twin

Code takes longer when its caches have gone cold, though nothing is added to it, and a spin that
only looks at the clock touches next to no memory: while it runs, the timer's interrupts, the host
and whoever shares the core's caches push out what the training had left there. This is the mean
error of the four phases for both kinds of spin; with the cold one also against blocks in which the
phase's spin is moved into the phase before it, so that its own code is as cold there.

{table(["spin", "trains a twin", "looks at the clock", "the same, spin moved"], cold)}

What the phases' own code takes, by what goes on during spins of {CAUSE_NS / 1e6:g} ms:

{table(["the spin", *map(str, PHASES)], causes)}

A spin that keeps training a twin leaves next to no excess, and one that sweeps through memory
leaves more of it than one that looks at the clock; a cost of taking laps would be the same in all
of them. That the processor lets its vector units sleep is not the cause: keeping them busy is of no
help.
"""
