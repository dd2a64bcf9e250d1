"""Part A of `truth.py`: does stepbench measure phases of known duration correctly?"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from truth_record import Aim, Part, median_interval, print_progress, span, table
from truth_spins import (
    CAUSE_NS,
    CAUSE_STEPS,
    FLOOR_S,
    NO_SPINS,
    PHASES,
    READ_CLOCK,
    SHARE,
    STEPS,
    WARMUP,
    Block,
    Fill,
    SecondWorkload,
    Spins,
    Workload,
)

from stepbench_reports.analysis.stats import Interval
from stepbench_reports.schema.phases import Phase

ROUNDS = 10

# --- recovering known durations ------------------------------------------------------------------


def moved(phase: Phase, spin_ns: int) -> Spins:
    """Spins in which a phase's spin is moved into the phase before it."""
    before = PHASES[PHASES.index(phase) - 1]
    return {**dict.fromkeys(PHASES, spin_ns), phase: 0, before: 2 * spin_ns}


@dataclass(frozen=True)
class Recovery:
    """The measurement of a phase in each round, seconds.

    Attributes:
        truth: The true duration: the log plus the phase's code without spins.
        read: The phase's code as measured: the lap without the log.
        still: The phase's code without spins.
        cold: The phase's code beside a spin that only reads the clock.
        moved: The phase's code if that spin is in the phase before.
    """

    truth: NDArray[np.float64]
    read: NDArray[np.float64]
    still: NDArray[np.float64]
    cold: NDArray[np.float64]
    moved: NDArray[np.float64]

    @property
    def allowed_s(self) -> float:
        """The largest error that meets the aim."""
        return max(SHARE * float(np.median(self.truth)), FLOOR_S)

    @property
    def errors(self) -> NDArray[np.float64]:
        """The measured duration less the truth."""
        return self.read - self.still

    @property
    def error(self) -> Interval:
        """The median error and its interval."""
        return median_interval(self.errors)

    @property
    def met(self) -> bool:
        """True if the error meets the aim."""
        return abs(self.error.value) <= self.allowed_s


@dataclass(frozen=True)
class Durations:
    """The results of part A.

    Attributes:
        recovered: The measurements by spin, nanoseconds, and by phase.
        gaps: The sum of a block's laps relative to the block's duration, by spin.
        causes: The duration of a phase's code, seconds, by the kind of spin, and by phase.
    """

    recovered: Mapping[int, Mapping[Phase, Recovery]]
    gaps: Mapping[int, NDArray[np.float64]]
    causes: Mapping[str, Mapping[Phase, float]]


def measure(rounds: int) -> Durations:
    """Runs part A."""
    torch.set_num_threads(1)
    workload, second = Workload(), SecondWorkload()
    workload.run(WARMUP)
    recovered, gaps = {}, {}
    for spin_ns, steps in STEPS.items():
        print_progress(f"A: phases of {spin_ns / 1e6:g} ms")
        recovered[spin_ns], gaps[spin_ns] = recover(workload, second, spin_ns, steps, rounds)
    print_progress("A: why is code slower after a spin?")
    return Durations(recovered, gaps, find_cause(workload, second, rounds))


def recover(
    workload: Workload, second: SecondWorkload, spin_ns: int, steps: int, rounds: int
) -> tuple[dict[Phase, Recovery], NDArray[np.float64]]:
    """Measures spins of one duration, in rounds of every kind of block in random order."""
    order = random.Random(spin_ns)  # noqa: S311  # an order, not a secret
    all_phases, fill = dict.fromkeys(PHASES, spin_ns), second.fill()
    plans: dict[str, tuple[Spins, Fill]] = {
        "read": (all_phases, fill),
        "still": (NO_SPINS, READ_CLOCK),
        "cold": (all_phases, READ_CLOCK),
        **{f"moved {phase}": (moved(phase, spin_ns), READ_CLOCK) for phase in PHASES},
    }
    results: list[dict[str, Block]] = []
    for _ in range(rounds):
        kinds = order.sample(list(plans), len(plans))
        results.append(
            {kind: workload.measure(plans[kind][0], steps, plans[kind][1]) for kind in kinds}
        )

    def recovery(phase: Phase) -> Recovery:
        def code(kind: str) -> NDArray[np.float64]:
            return np.array([blocks[kind].code[phase] for blocks in results])

        spun = np.array([blocks["read"].spun[phase] for blocks in results])
        still = code("still")
        return Recovery(spun + still, code("read"), still, code("cold"), code(f"moved {phase}"))

    gaps = np.array([blocks["read"].gap for blocks in results])
    return {phase: recovery(phase) for phase in PHASES}, gaps


def find_cause(
    workload: Workload, second: SecondWorkload, rounds: int
) -> dict[str, dict[Phase, float]]:
    """Measures the code of phases after spins that affect caches in different ways."""
    large, small = np.ones(2**20), np.ones(64)
    kinds: dict[str, tuple[Fill, int]] = {
        "no spin": (READ_CLOCK, 0),
        "trains a second workload": (second.fill(), CAUSE_NS),
        "reads the clock": (READ_CLOCK, CAUSE_NS),
        "computes with vector units": (Fill(small.sum), CAUSE_NS),
        "reads 8 MiB of memory": (Fill(large.sum), CAUSE_NS),
    }
    results: dict[str, list[Block]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, (fill, spin_ns) in kinds.items():
            spins = dict.fromkeys(PHASES, spin_ns)
            results[kind].append(workload.measure(spins, CAUSE_STEPS, fill))
    return {
        kind: {phase: float(np.median([block.code[phase] for block in blocks])) for phase in PHASES}
        for kind, blocks in results.items()
    }


# --- the description -----------------------------------------------------------------------------


def describe(durations: Durations) -> Part:
    """Part A as Markdown, with its aims."""
    return Part("Phases of known duration", _text(durations), (*_aims(durations),))


def _aims(durations: Durations) -> Iterator[Aim]:
    cells = [cell for phases in durations.recovered.values() for cell in phases.values()]
    met = sum(cell.met for cell in cells)
    worst = max(cells, key=lambda cell: abs(cell.error.value) / cell.allowed_s)
    yield Aim(
        "each phase at each duration is within 1 % of the truth or 20 µs, whichever is more",
        f"{met} of {len(cells)}; the largest error is {worst.error.value * 1e6:+.1f} µs, of "
        f"{worst.allowed_s * 1e6:.0f} µs allowed",
        met == len(cells),
    )
    gap = max((float(gap) for gaps in durations.gaps.values() for gap in gaps), key=abs)
    yield Aim(
        "the laps of every block sum to its duration within 1 %",
        f"the largest error is {gap:+.3%}",
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


def _text(durations: Durations) -> str:
    heads = ["spin", "phase", "truth", "error", "95 % interval", "share", "worst block", "aim"]
    rows = [
        _row(spin_ns, phase, cell)
        for spin_ns, phases in durations.recovered.items()
        for phase, cell in phases.items()
    ]
    cold = [_cold_row(*item) for item in durations.recovered.items()]
    causes = [
        [kind, *(f"{code[phase] * 1e6:.0f} µs" for phase in PHASES)]
        for kind, code in durations.causes.items()
    ]
    gaps = [
        [f"{spin_ns / 1e6:g} ms", f"{np.median(of_spin):+.4%}", f"{max(of_spin, key=abs):+.4%}"]
        for spin_ns, of_spin in durations.gaps.items()
    ]
    rounds = len(next(iter(durations.gaps.values())))
    return f"""\
Each phase spins for a given time besides its other code, and logs the actual duration of the spin.
The truth is the log plus the duration of the phase's other code (Python, autograd, creating
tensors) in blocks without spins. The error is stepbench's figure less the truth: the median of a
block's steps, in each of {rounds} rounds of blocks in random order. A spin trains a second workload
while there is time for another step, and then reads the clock; the reason is given below.

{table(heads, rows)}

The sum of a block's laps relative to the block's duration, if all phases spin:

{table(["spin", "median", "worst block"], gaps)}

### Why spins train a second workload

The same code takes longer when caches are cold. A spin that only reads the clock uses almost no
memory, so that timer interrupts, the host and other users of the core's caches evict the data of
the training. The table shows the mean error of the four phases for both kinds of spin. The last
column compares the second kind with blocks in which a phase's spin is moved into the phase before,
so that caches are equally cold.

{table(["spin", "second workload", "reads the clock", "the same, spin moved"], cold)}

The duration of the phases' other code, by the kind of spin of {CAUSE_NS / 1e6:g} ms:

{table(["the spin", *map(str, PHASES)], causes)}

With a spin that trains a second workload, the code is hardly slower. With a spin that reads memory,
it is slower than with a spin that reads the clock. The cost of taking laps would be the same in all
of these. Sleeping vector units of the processor are not the cause: keeping them busy does not help.
"""
