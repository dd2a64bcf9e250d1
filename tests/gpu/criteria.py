"""What the check claims: figures of stepbench, the figures by hand, and how far they may differ."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from record import Missing, Record
from stages import CONVNETS, RESNETS

from stepbench_reports.read import operators
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.schema.parity import ParityVerdict

PHASES = ("forward", "backward", "optimizer")
MIN_PAIRS = 5
"""The pairs from which the regression check's mean change is judged."""

Value = float | str
Get = Callable[[Record], Value]
GetCase = Callable[[Record], Measurement]


@dataclass(frozen=True)
class Bound:
    """How far a figure may be from the one by hand.

    Attributes:
        text: The bound in words.
        holds: Takes the figure and the one by hand; true if the figure is within the bound.
    """

    text: str
    holds: Callable[[Value, Value], bool]


@dataclass(frozen=True)
class Criterion:
    """A figure of stepbench, the figure by hand, and the bound.

    Attributes:
        name: The criterion.
        bound: How far the figures may be apart.
        figure: Gets stepbench's figure.
        by_hand: Gets the figure by hand.
        show: Formats a figure.
    """

    name: str
    bound: Bound
    figure: Get
    by_hand: Get
    show: Callable[[Value], str] = str


# --- bounds and units ----------------------------------------------------------------------------


def within(share: float) -> Bound:
    """The figure is within a share of the one by hand."""
    return Bound(f"within {share:.0%}", lambda a, b: abs(_n(a) - _n(b)) <= share * abs(_n(b)))


def below(share: float) -> Bound:
    """The figure is below a limit; there is none by hand."""
    return Bound(f"below {share:.0%}", lambda a, _: 0 <= _n(a) < share)


HALF_A_POINT = Bound("within half a point", lambda a, b: abs(_n(a) - _n(b)) <= 0.005)
THE_SAME = Bound("the same", lambda a, b: a == b)


def _n(value: Value) -> float:
    return float(value)


def scaled(factor: float, unit: str) -> Callable[[Value], str]:
    """Formats a figure in a unit: four digits of `factor` times the figure."""
    return lambda value: f"{factor * _n(value):,.4g} {unit}".strip()


MS, US = scaled(1e3, "ms"), scaled(1e6, "µs")
PERCENT = scaled(100, "%")
SAMPLES = scaled(1, "samples/s")


def constant(value: Value) -> Get:
    """A figure that is known beforehand."""
    return lambda _: value


def hand(*path: str) -> Get:
    """A figure by hand, at a path in the reference."""
    return lambda record: record.by_hand(*path)


# --- stepbench's figures -------------------------------------------------------------------------


def lap(measurement: Measurement, phase: str, clock: str = "device") -> float:
    """A phase's median lap in seconds."""
    return float(statistics.median(measurement.laps[clock][phase]))


def known(record: Record, function: str) -> Measurement:
    """The measured case of a workload with known work."""
    return record.measured("truth", workload=f"truth_gpu.py:{function}")


def known_lap(record: Record, phase: str) -> float:
    """The device's lap of known work, seconds."""
    return lap(known(record, "fast"), phase)


def queued(record: Record, phase: str) -> float:
    """The host's lap of known work, as a share of the device's."""
    return lap(known(record, "fast"), phase, "host") / known_lap(record, phase)


def peak_flops_per_s(record: Record, precision: str) -> float:
    """The peak throughput of matrix products in a precision."""
    return record.run("truth").peak_flops_per_s("cuda", precision)


def lapped_per_bare(get: GetCase, record: Record) -> float:
    """The cost of laps in a case."""
    return get(record).lapped_per_bare


def convnet(record: Record, mode: str = "off") -> Measurement:
    """The measured case of the small network with a value of `compile`."""
    return record.measured("real", compile=mode)


def resnet(record: Record, precision: str = "bf16") -> Measurement:
    """The measured case of the large network in a precision."""
    return record.measured("big", precision=precision)


def busy_s(record: Record) -> float:
    """The time of a step during which the known work keeps the device busy, by hand, seconds."""
    return record.by_hand("h2d") + sum(record.by_hand("sleeps", phase) for phase in PHASES)


def starved_s(record: Record) -> float:
    """The time of a step with the slow loader during which the device has no work, seconds."""
    return lap(known(record, "slow"), "step") - busy_s(record)


def kernel_s(record: Record, phase: str) -> float:
    """A step's device work in a phase, by stepbench's profile, seconds."""
    case = record.case("prof")
    if not case.profile.steps:
        raise Missing(f"{case.id} has no profile: {case.profile.reason or case.reason}")
    rows = operators.frame(record.run("prof"))
    return float(rows.loc[rows["phase"] == phase, "device_self_s"].sum())


def parity(get: GetCase, record: Record) -> str:
    """The verdict on a case's parity, and the reason if it fails."""
    case = get(record)
    verdict, reason = case.parity.verdict, (case.parity.reason or "")[:120]
    if verdict == ParityVerdict.FAIL:
        return f"{verdict}: {reason}"
    if verdict != ParityVerdict.PASS:
        raise Missing(f"the parity of {case.id} was not decided: {reason or verdict}")
    return verdict


def out_of_memory(record: Record) -> str:
    """The status of a case that needs more memory than any card has, and its reason if wrong."""
    case = record.case("truth", workload="truth_gpu.py:greedy")
    return case.status if case.status == "oom" else f"{case.status}: {case.reason}"


def change(record: Record, row: str) -> float:
    """The mean change of a phase or the step in the regression check, as a share of the step."""
    check = record.check()
    if check.failures:
        failed = check.failures[0].failed
        raise Missing(f"a pair failed: {failed.side}: {failed.reason}")
    if len(check.pairs) < MIN_PAIRS:
        raise Missing(f"there are {len(check.pairs)} pairs, and {MIN_PAIRS} are needed")
    return statistics.fmean(pair.changes[row] for pair in check.pairs)


def known_change(record: Record, row: str) -> float:
    """The change that a tenth more work in backward makes, as a share of the step."""
    if row not in {"step", "backward"}:
        return 0.0
    return 0.1 * record.by_hand("sleeps", "backward") / busy_s(record)


# --- criteria ------------------------------------------------------------------------------------


def _laps() -> list[Criterion]:
    return [
        *(
            Criterion(
                f"device lap of a known sleep: {phase}", within(0.02),
                partial(known_lap, phase=phase), hand("sleeps", phase), MS,
            )
            for phase in PHASES
        ),
        Criterion(
            "device lap of a known transfer", within(0.1),
            partial(known_lap, phase="transfer"), hand("h2d"), MS,
        ),
        *(
            Criterion(
                f"the host only queues: host's lap / device's lap, {phase}", below(0.2),
                partial(queued, phase=phase), constant(""), PERCENT,
            )
            for phase in PHASES
        ),
    ]  # fmt: skip


def _starvation() -> list[Criterion]:
    return [
        Criterion(
            "slow loader: wait on the host's clock", within(0.05),
            lambda r: lap(known(r, "slow"), "dataload", "host"),
            hand("slow_batch"), MS,
        ),
        Criterion(
            "slow loader: starvation on the device's clock", within(0.05),
            lambda r: lap(known(r, "slow"), "dataload"), starved_s, MS,
        ),
        Criterion(
            "fast loader: starvation, share of the step", below(0.02),
            lambda r: lap(known(r, "fast"), "dataload") / lap(known(r, "fast"), "step"),
            constant(""), PERCENT,
        ),
    ]  # fmt: skip


def _peaks() -> list[Criterion]:
    return [
        *(
            Criterion(
                f"peak throughput: products in {precision}", within(0.1),
                partial(peak_flops_per_s, precision=precision), hand("gemm", precision),
                scaled(1e-12, "TFLOP/s"),
            )
            for precision in (*RESNETS, "fp16")
        ),
        Criterion(
            "peak throughput: copy", within(0.1),
            lambda r: r.run("truth").copy_bytes_per_s("cuda"),
            hand("copy"), scaled(1e-9, "GB/s"),
        ),
    ]  # fmt: skip


def _training() -> list[Criterion]:
    return [
        Criterion(
            "samples/s: convnet with its loader", within(0.05),
            lambda r: convnet(r).samples_per_s.value,
            hand("convnet", "samples_per_s"), SAMPLES,
        ),
        Criterion(
            "samples/s: resnet18 in bf16 on one batch", within(0.05),
            lambda r: resnet(r).samples / resnet(r).unloaded_step_s,
            hand("resnet18_bf16", "samples_per_s"), SAMPLES,
        ),
        Criterion(
            "peak memory: resnet18 in bf16", within(0.1),
            lambda r: resnet(r).value(lambda found: found.memory.device_peak_allocated_bytes),
            hand("resnet18_bf16", "peak"), scaled(2**-20, "MiB"),
        ),
    ]  # fmt: skip


def _cases() -> list[tuple[str, GetCase]]:
    return [
        *((f"convnet, compile {mode}", partial(convnet, mode=mode)) for mode in CONVNETS),
        *((f"resnet18, {name}", partial(resnet, precision=name)) for name in RESNETS),
    ]


def _every_case() -> list[Criterion]:
    known_work: tuple[str, GetCase] = "known work", partial(known, function="fast")
    return [
        *(
            Criterion(
                f"lapped / bare: {name}", within(0.02),
                partial(lapped_per_bare, get), constant(1.0), scaled(1, ""),
            )
            for name, get in (known_work, *_cases())
        ),
        *(
            Criterion(f"parity: {name}", THE_SAME, partial(parity, get), constant("pass"))
            for name, get in _cases()
        ),
        Criterion("out of memory is told", THE_SAME, out_of_memory, constant("oom")),
    ]  # fmt: skip


def _profile_and_gate() -> list[Criterion]:
    return [
        *(
            Criterion(
                f"kernel time by torch.profiler: {phase}", within(0.1),
                partial(kernel_s, phase=phase),
                hand("kernels", phase), US,
            )
            for phase in ("transfer", *PHASES)
        ),
        *(
            Criterion(
                f"regression check, a tenth more backward: change of {row}", HALF_A_POINT,
                partial(change, row=row), partial(known_change, row=row), PERCENT,
            )
            for row in ("step", *PHASES)
        ),
    ]  # fmt: skip


CRITERIA = (*_laps(), *_starvation(), *_peaks(), *_training(), *_every_case(), *_profile_and_gate())
