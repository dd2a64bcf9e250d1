"""Compares stepbench's figures on a GPU with a reference measured by torch alone, claim by claim.

Usage: python judge.py DIRECTORY. The directory is the output of check.sh: a run's directory for
each stage, the directory of a regression check, and reference.json.
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
"""The contents of reference.json: seconds, bytes, operations and bytes per second."""
RunPart: TypeAlias = Callable[[Run, Reference], list["Claim"]]

DEVICE = "cuda"
STEP = "step"
PHASES = ("forward", "backward", "optimizer")
HOPPER_BF16 = (600e12, 950e12)
"""The range of a Hopper's peak throughput in bf16, operations per second."""
MIN_TF32 = 70e12
"""A Hopper exceeds this in TF32, operations per second; no GPU reaches it in fp32."""
SLOW_BATCH_S = 0.0203
"""The time for a batch of truth_gpu's slow loader, seconds: the sleeps of four items."""


@dataclass(frozen=True)
class Claim:
    """A claim about stepbench's figures.

    Attributes:
        ok: True if the claim holds.
        what: The claim, after the name of its part.
        numbers: The measured and the expected figures.
    """

    ok: bool
    what: str
    numbers: tuple[object, ...] = ()

    def __str__(self) -> str:
        shown = (f"{n:.4g}" if isinstance(n, float) else str(n) for n in self.numbers)
        return " ".join(("PASS" if self.ok else "FAIL", self.what, *shown))


def near(what: str, actual: float, expected: float, share: float, floor: float = 0.0) -> Claim:
    """Claims that a figure is close to the reference.

    Args:
        what: The claim.
        actual: The figure of stepbench; NaN fails.
        expected: The figure of the reference.
        share: The tolerance as a share of `expected`.
        floor: The minimum tolerance.
    """
    ok = abs(actual - expected) <= max(share * expected, floor)
    return Claim(ok, what, (actual, "expected", expected))


# --- stepbench's figures -------------------------------------------------------------------------


def case(run: Run, **axes: object) -> Measurement:
    """The only case with these values on these axes.

    Raises:
        LookupError: No case has these values, or several cases have.
    """
    matches = [m for m in run.measurements if axes.items() <= m.axes.items()]
    if len(matches) != 1:
        raise LookupError(f"{len(matches)} cases of {run.path.name} have {axes}, not 1")
    return matches[0]


def measured(run: Run, **axes: object) -> Measurement:
    """The only measured case with these values on these axes.

    Raises:
        LookupError: There is no such case, or the case was not measured.
    """
    match = case(run, **axes)
    if not match.ok:
        raise LookupError(f"{match.id} is {match.status}: {match.reason}")
    return match


def lap(measurement: Measurement, phase: str, clock: str = "device") -> float:
    """A phase's median lap in seconds."""
    return float(statistics.median(measurement.laps[clock][phase]))


def clocks(measurement: Measurement) -> list[float | None]:
    """The device's clock at the end of each block, in Hz."""
    return [block.clock_hz for block in block_noise(measurement)]


def others(measurement: Measurement) -> float:
    """The largest share of the machine that other processes used in a block."""
    return max((block.others or 0.0 for block in block_noise(measurement)), default=math.nan)


def block_noise(measurement: Measurement) -> tuple[BlockNoise, ...]:
    """The use of the machine during each block."""
    return () if measurement.findings is None else measurement.findings.noise.blocks


def plain_step(measurement: Measurement) -> float:
    """The duration of a training step without a loader, seconds."""
    return measurement.unloaded_step_s


def peak(measurement: Measurement) -> float:
    """The peak memory allocated on the device, bytes."""
    return measurement.value(lambda findings: findings.memory.device_peak_allocated_bytes)


# --- claims --------------------------------------------------------------------------------------


def known_busy_s(reference: Reference) -> float:
    """The time of a step during which the known workload keeps the device busy, seconds."""
    return sum(float(reference[f"sleep_{p}"]) for p in PHASES) + float(reference["h2d"])


def known_work(run: Run, reference: Reference) -> list[Claim]:
    """Laps of known work are as long as the work, and taking laps costs nothing."""
    fast = measured(run, workload="truth_gpu.py:fast")
    starved_s, ratio, clocks_hz = lap(fast, "dataload"), fast.lapped_per_bare, clocks(fast)
    queued_s = lap(fast, "forward", "host")
    clocks_mhz = sorted({round(hz / 1e6) for hz in clocks_hz if hz})
    return [
        *(
            near(
                f"device lap of {phase}", lap(fast, phase), reference[f"sleep_{phase}"], 0.02, 3e-5
            )
            for phase in PHASES
        ),
        near("transfer of 64 MiB", lap(fast, "transfer"), reference["h2d"], 0.1),
        Claim(queued_s < 0.2 * lap(fast, "forward"), "the host does not wait", (queued_s,)),
        Claim(starved_s < 0.02 * lap(fast, STEP), "the device does not starve", (starved_s,)),
        Claim(abs(ratio - 1) < 0.01, "lapped / bare", (ratio,)),
        Claim(
            bool(clocks_hz) and None not in clocks_hz,
            "NVML reports the clock",
            (*clocks_mhz, "MHz"),
        ),
    ]


def slow_loader(run: Run, reference: Reference) -> list[Claim]:
    """Both clocks show a slow loader: its duration, and the time for which the device starves."""
    slow = measured(run, workload="truth_gpu.py:slow")
    starved_s = lap(slow, STEP) - known_busy_s(reference)
    return [
        near("the loader's time", lap(slow, "dataload", "host"), SLOW_BATCH_S, 0.03),
        near("starvation", lap(slow, "dataload"), starved_s, 0.05),
    ]


def out_of_memory(run: Run, _reference: Reference) -> list[Claim]:
    """A case that runs out of memory is reported as such."""
    status = case(run, workload="truth_gpu.py:greedy").status
    return [Claim(status == "oom", "it is reported", (status,))]


def machine_peaks(run: Run, reference: Reference) -> list[Claim]:
    """The measured peak throughput is that of the GPU."""
    copy_bytes_per_s = run.copy_bytes_per_s(DEVICE)
    bf16, fp32 = (run.peak_flops_per_s(DEVICE, precision) for precision in ("bf16", "fp32"))
    low, high = HOPPER_BF16
    return [
        *(
            near(f"{name}, TFLOP/s", run.peak_flops_per_s(DEVICE, name) / 1e12, flops / 1e12, 0.1)
            for name, flops in reference["gemm"].items()
        ),
        near("copy, GB/s", copy_bytes_per_s / 1e9, reference["copy"] / 1e9, 0.1),
        Claim(low < bf16 < high, "bf16 is a Hopper's", (bf16,)),
        Claim(fp32 < MIN_TF32, "fp32 is not TF32", (fp32,)),
    ]


def by_hand(run: Run, reference: Reference, *, key: str, **axes: object) -> list[Claim]:
    """A case's figures are those of the same loop by hand, `reference[key]`."""
    measurement, expected = measured(run, **axes), reference[key]
    return [
        near("plain step", plain_step(measurement), expected["wall"], 0.05),
        *(near(phase, lap(measurement, phase), expected[phase], 0.1, 1e-5) for phase in PHASES),
        near("peak bytes", peak(measurement), float(expected["peak"]), 0.1),
    ]


def every_case(run: Run, _reference: Reference) -> list[Claim]:
    """In each case, taking laps costs nothing, and parity passes."""
    claims = [
        Claim(not run.problems, "its files can be read", run.problems),
        Claim(bool(run.measurements), "it has cases", (len(run.measurements),)),
    ]
    for m in run.measurements:
        ratio, discarded = m.lapped_per_bare, m.discarded_blocks
        reason = (m.reason or "")[:90]
        numbers = (m.status, ratio, "discarded", discarded, "others", others(m), reason)
        verdict, parity_reason = m.parity.verdict, (m.parity.reason or "")[:120]
        claims += [
            Claim(m.ok and abs(ratio - 1) < 0.02, f"{m.id}: laps cost nothing", numbers),
            Claim(verdict == ParityVerdict.PASS, f"{m.id}: parity", (verdict, parity_reason)),
        ]
    return claims


def graphs(run: Run, _reference: Reference) -> list[Claim]:
    """CUDA graphs are faster than eager execution."""
    eager, graph = (lap(measured(run, compile=mode), STEP) for mode in ("off", "reduce-overhead"))
    return [Claim(graph < eager, "they are faster", (graph, "eager", eager))]


def profile(run: Run, reference: Reference) -> list[Claim]:
    """A profile has all of the device's work, in the right phases."""
    rows = operators.frame(run)
    by_phase = rows.groupby("phase")["device_self_s"].sum()
    kernel_s = {phase: float(by_phase.get(phase, 0.0)) for phase in ("transfer", *PHASES)}
    numbers = tuple(item for pair in kernel_s.items() for item in pair)
    return [
        Claim(all(s > 0 for s in kernel_s.values()), "each phase has kernels", numbers),
        near("kernel time per step", sum(kernel_s.values()), reference["convnet_kernel_s"], 0.1),
    ]


def gate(check: regression.Check, reference: Reference) -> list[Claim]:
    """The regression check finds a tenth more work in backward, and no other change."""
    slower = 0.1 * float(reference["sleep_backward"]) / known_busy_s(reference)
    expected = {STEP: slower, "backward": slower}
    reasons = tuple(f"{line.failed.side}: {line.failed.reason}" for line in check.failures)
    changes = [pair.changes for pair in check.pairs]
    return [
        Claim(len(changes) >= 5, "pairs", (len(changes),)),
        Claim(not reasons, "no pair fails", reasons),
        *(
            near(
                f"{row}, share of step",
                statistics.fmean(change[row] for change in changes),
                expected.get(row, 0.0),
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
    "machine peaks": ("real", machine_peaks),
    "convnet by hand": ("real", partial(by_hand, key="convnet", compile="off")),
    "resnet18 by hand": ("big", partial(by_hand, key="resnet18_bf16", precision="bf16")),
    "convnet": ("real", every_case),
    "resnet18": ("big", every_case),
    "CUDA graphs": ("real", graphs),
    "profile": ("prof", profile),
}
"""By part, the stage of the run and the function that makes the claims."""


# --- the whole check -----------------------------------------------------------------------------


def all_claims(directory: Path) -> Iterator[Claim]:
    """All claims of all parts, with the part's name before each claim."""

    def reference() -> Reference:
        content: Reference = json.loads((directory / "reference.json").read_text())
        return content

    def of_run(stage: str, part: RunPart) -> list[Claim]:
        return part(stepbench_reports.load(directory / stage), reference())

    for name, (stage, part) in RUN_PARTS.items():
        yield from claims_of(name, partial(of_run, stage, part))
    yield from claims_of("gate", lambda: gate(regression.load(directory / "check"), reference()))


def claims_of(name: str, part: Callable[[], list[Claim]]) -> list[Claim]:
    """A part's claims; a failed claim if the part raises an error."""
    try:
        claims = part()
    except Exception as error:  # noqa: BLE001  # any error fails the part
        claims = [Claim(False, "cannot be judged", (repr(error),))]
    return [replace(claim, what=f"{name}: {claim.what}") for claim in claims]


def main(directory: Path) -> int:
    """Prints a line for each claim; returns 1 if any claim fails, else 0."""
    failed = 0
    for claim in all_claims(directory):
        print(claim)
        failed += not claim.ok
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
