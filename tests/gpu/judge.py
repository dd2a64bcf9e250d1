"""Judges stepbench's figures on a card by those of torch and the clock alone, claim by claim.

Usage: python judge.py DIRECTORY. It holds what check.sh leaves there: a run's directory for each
stage, a regression check's, and reference.json.
"""

import json
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import stepbench_reports
from stepbench_reports import regression
from stepbench_reports.read import operators
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.measurement import BlockNoise
from stepbench_reports.schema.parity import ParityVerdict

Reference: TypeAlias = Mapping[str, Any]
"""What reference.py measured; seconds, bytes, operations and bytes per second."""
RunPart: TypeAlias = Callable[[Run, Reference], list["Claim"]]

DEVICE = "cuda"
STEP = "step"
PHASES = ("forward", "backward", "optimizer")
HOPPER_BF16 = (600e12, 950e12)
"""Between what a Hopper reaches in bf16, operations per second."""
TF32_LEAST = 70e12
"""No card reaches this in fp32; by TF32, a Hopper does."""
SLOW_BATCH_S = 0.0203
"""What truth_gpu's slow loader takes for a batch: four items' sleeps."""


@dataclass(frozen=True)
class Claim:
    """One thing that stepbench should be right about.

    Attributes:
        ok: Whether it is.
        what: The claim, after the part that makes it.
        numbers: What was found, and what should be.
    """

    ok: bool
    what: str
    numbers: tuple[object, ...] = ()

    def __str__(self) -> str:
        shown = (f"{n:.4g}" if isinstance(n, float) else str(n) for n in self.numbers)
        return " ".join(("PASS" if self.ok else "FAIL", self.what, *shown))


def near(what: str, found: float, wanted: float, share: float, floor: float = 0.0) -> Claim:
    """Claims that a figure is right.

    Args:
        what: The claim.
        found: stepbench's figure; NaN fails.
        wanted: The reference's.
        share: How far off it may be, as a share of `wanted`.
        floor: How far off it may be in any case.
    """
    ok = abs(found - wanted) <= max(share * wanted, floor)
    return Claim(ok, what, (found, "wanted", wanted))


# --- what stepbench tells ------------------------------------------------------------------------


def case(run: Run, **axes: object) -> Measurement:
    """The one case that has these values on these axes.

    Raises:
        LookupError: None has, or several have.
    """
    found = [m for m in run.measurements if axes.items() <= m.axes.items()]
    if len(found) != 1:
        raise LookupError(f"{len(found)} cases of {run.path.name} have {axes}, not 1")
    return found[0]


def measured(run: Run, **axes: object) -> Measurement:
    """The same, where it was measured.

    Raises:
        LookupError: There is no such case, or it was not measured.
    """
    found = case(run, **axes)
    if not found.ok:
        raise LookupError(f"{found.id} is {found.status}: {found.reason}")
    return found


def lap(measurement: Measurement, phase: str, clock: str = "device") -> float:
    """A phase's median lap in seconds."""
    return float(statistics.median(measurement.laps[clock][phase]))


def clocks(measurement: Measurement) -> list[float | None]:
    """The device's clock at the end of each block, in Hz."""
    return [block.clock_hz for block in watched(measurement)]


def others(measurement: Measurement) -> float:
    """The most that other processes kept the machine busy in a block, as a share."""
    return max((block.others or 0.0 for block in watched(measurement)), default=math.nan)


def watched(measurement: Measurement) -> tuple[BlockNoise, ...]:
    """What went on around each block."""
    return () if measurement.findings is None else measurement.findings.noise.blocks


def plain_step(measurement: Measurement) -> float:
    """Seconds of a training step with nothing to load."""
    return measurement.unloaded_step_s


def peak(measurement: Measurement) -> float:
    """Bytes that were allocated on the device at most."""
    return measurement.value(lambda findings: findings.memory.device_peak_allocated_bytes)


# --- what it is judged by ------------------------------------------------------------------------


def known_busy_s(reference: Reference) -> float:
    """Seconds of a step in which the known workload keeps the device busy."""
    return sum(float(reference[f"sleep_{p}"]) for p in PHASES) + float(reference["h2d"])


def known_work(run: Run, reference: Reference) -> list[Claim]:
    """Laps of known work are as long as the work; taking them costs nothing."""
    fast = measured(run, workload="truth_gpu.py:fast")
    waited, ratio, told = lap(fast, "dataload"), fast.lapped_per_bare, clocks(fast)
    queued = lap(fast, "forward", "host")
    seen = sorted({round(hz / 1e6) for hz in told if hz})
    return [
        *(
            near(
                f"device lap of {phase}", lap(fast, phase), reference[f"sleep_{phase}"], 0.02, 3e-5
            )
            for phase in PHASES
        ),
        near("transfer of 64 MiB", lap(fast, "transfer"), reference["h2d"], 0.1),
        Claim(queued < 0.2 * lap(fast, "forward"), "the host does not wait", (queued,)),
        Claim(waited < 0.02 * lap(fast, STEP), "the device does not starve", (waited,)),
        Claim(abs(ratio - 1) < 0.01, "lapped / bare", (ratio,)),
        Claim(bool(told) and None not in told, "NVML tells the clock", (*seen, "MHz")),
    ]


def slow_loader(run: Run, reference: Reference) -> list[Claim]:
    """A slow loader is seen by both clocks: how long it takes, and how long the device starves."""
    slow = measured(run, workload="truth_gpu.py:slow")
    starved = lap(slow, STEP) - known_busy_s(reference)
    return [
        near("the loader's time", lap(slow, "dataload", "host"), SLOW_BATCH_S, 0.03),
        near("starvation", lap(slow, "dataload"), starved, 0.05),
    ]


def out_of_memory(run: Run, _reference: Reference) -> list[Claim]:
    """A case without the memory that it needs is told as such."""
    status = case(run, workload="truth_gpu.py:greedy").status
    return [Claim(status == "oom", "it is told", (status,))]


def ceilings(run: Run, reference: Reference) -> list[Claim]:
    """The machine's ceilings are what the card reaches."""
    copied = run.copy_bytes_per_s(DEVICE)
    bf16, fp32 = (run.ceiling(DEVICE, precision) for precision in ("bf16", "fp32"))
    low, high = HOPPER_BF16
    return [
        *(
            near(f"{name}, TFLOP/s", run.ceiling(DEVICE, name) / 1e12, reached / 1e12, 0.1)
            for name, reached in reference["gemm"].items()
        ),
        near("copy, GB/s", copied / 1e9, reference["copy"] / 1e9, 0.1),
        Claim(low < bf16 < high, "bf16 is a Hopper's", (bf16,)),
        Claim(fp32 < TF32_LEAST, "fp32 is no TF32", (fp32,)),
    ]


def by_hand(run: Run, reference: Reference, *, key: str, **axes: object) -> list[Claim]:
    """A case's figures are those of the same loop by hand, which the reference has by `key`."""
    found, wanted = measured(run, **axes), reference[key]
    return [
        near("plain step", plain_step(found), wanted["wall"], 0.05),
        *(near(phase, lap(found, phase), wanted[phase], 0.1, 1e-5) for phase in PHASES),
        near("peak bytes", peak(found), float(wanted["peak"]), 0.1),
    ]


def every_case(run: Run, _reference: Reference) -> list[Claim]:
    """Each case is measured at no cost of its laps, and computes what it should."""
    claims = [
        Claim(not run.problems, "its files can be read", run.problems),
        Claim(bool(run.measurements), "it has cases", (len(run.measurements),)),
    ]
    for m in run.measurements:
        ratio, aside = m.lapped_per_bare, m.blocks_set_aside
        numbers = (m.status, ratio, "set aside", aside, "others", others(m), (m.reason or "")[:90])
        verdict, why = m.parity.verdict, (m.parity.reason or "")[:120]
        claims += [
            Claim(m.ok and abs(ratio - 1) < 0.02, f"{m.id} at no cost", numbers),
            Claim(verdict == ParityVerdict.PASS, f"{m.id} parity", (verdict, why)),
        ]
    return claims


def graphs(run: Run, _reference: Reference) -> list[Claim]:
    """CUDA graphs are faster than eager execution."""
    eager, graph = (lap(measured(run, compile=mode), STEP) for mode in ("off", "reduce-overhead"))
    return [Claim(graph < eager, "they are faster", (graph, "against", eager))]


def profile(run: Run, reference: Reference) -> list[Claim]:
    """A profile has all of the device's work, in the phases that asked for it."""
    rows = operators.frame(run)
    by_phase = rows.groupby("phase")["device_self_s"].sum()
    found = {phase: float(by_phase.get(phase, 0.0)) for phase in ("transfer", *PHASES)}
    numbers = tuple(item for pair in found.items() for item in pair)
    return [
        Claim(all(s > 0 for s in found.values()), "each phase has kernels", numbers),
        near("kernel time a step", sum(found.values()), reference["convnet_kernel_s"], 0.1),
    ]


def gate(check: regression.Check, reference: Reference) -> list[Claim]:
    """The regression gate sees a tenth more work in backward as it is, and nothing else."""
    slower = 0.1 * float(reference["sleep_backward"]) / known_busy_s(reference)
    wanted = {STEP: slower, "backward": slower}
    reasons = tuple(f"{line.failed.side}: {line.failed.reason}" for line in check.failures)
    changes = [pair.changes for pair in check.pairs]
    return [
        Claim(len(changes) >= 5, "pairs", (len(changes),)),
        Claim(not reasons, "no pair fails", reasons),
        *(
            near(
                f"{row}, share of step",
                statistics.fmean(change[row] for change in changes),
                wanted.get(row, 0.0),
                share=0.0,
                floor=0.005,
            )
            for row in (STEP, *PHASES)
        ),
    ]


RUN_PARTS: Mapping[str, tuple[str, RunPart]] = {
    "known work": ("truth", known_work),
    "slow loader": ("truth", slow_loader),
    "out of memory": ("truth", out_of_memory),
    "ceilings": ("real", ceilings),
    "convnet by hand": ("real", partial(by_hand, key="convnet", compile="off")),
    "resnet18 by hand": ("big", partial(by_hand, key="resnet18_bf16", precision="bf16")),
    "convnet": ("real", every_case),
    "resnet18": ("big", every_case),
    "CUDA graphs": ("real", graphs),
    "profile": ("prof", profile),
}
"""By part: whose run it looks at, and what it claims of it."""


# --- all of it -----------------------------------------------------------------------------------


def judged(directory: Path) -> Iterator[Claim]:
    """All claims of all parts, each part's name before its own."""

    def reference() -> Reference:
        found: Reference = json.loads((directory / "reference.json").read_text())
        return found

    def of_run(stage: str, part: RunPart) -> list[Claim]:
        return part(stepbench_reports.load(directory / stage), reference())

    for name, (stage, part) in RUN_PARTS.items():
        yield from heard(name, partial(of_run, stage, part))
    yield from heard("gate", lambda: gate(regression.load(directory / "check"), reference()))


def heard(name: str, part: Callable[[], list[Claim]]) -> list[Claim]:
    """A part's claims; one that fails where it raises."""
    try:
        claims = part()
    except Exception as error:  # noqa: BLE001  # whatever it is, the part fails by it
        claims = [Claim(False, "cannot be judged", (repr(error),))]
    return [replace(claim, what=f"{name}: {claim.what}") for claim in claims]


def main(directory: Path) -> int:
    """Prints a line for each claim; 1 when any failed, else 0."""
    failed = 0
    for claim in judged(directory):
        print(claim)
        failed += not claim.ok
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
