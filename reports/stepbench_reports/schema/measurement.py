"""`cases/<id>.json`: one case's measurement."""

from typing import Annotated, Literal

from msgspec import Meta

from stepbench_reports.schema.case_facts import AppliedSettings, ClockFacts, DataFacts, ModelFacts
from stepbench_reports.schema.compilation import Compilation
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.record import (
    Bytes,
    Count,
    Lap,
    LargeCount,
    Positive,
    Record,
    Seconds,
    Share,
)

SCHEMA = 2
"""The version of `run.json` and of `cases/<id>.json`; raised when their meaning changes."""


class Laps(Record, frozen=True, kw_only=True):
    """Laps over the lapped blocks in order, in seconds: by phase a number for each step.

    `step` stands beside the phases for the whole step.

    Attributes:
        host: By the host's clock.
        device: By the device's own clock; `None` where the device is synchronous (the CPU) and with
            `--sync-phases`.
    """

    host: dict[str, list[Lap]]
    device: dict[str, list[Lap]] | None = None

    @property
    def decisive(self) -> dict[str, list[float]]:
        """Those by the clock that tells how long the work took: the device's, where it has one."""
        return self.device or self.host

    def __post_init__(self) -> None:
        """Refuses laps that are unequally many, or lack the step."""
        for clock, tracks in (("host", self.host), ("device", self.device)):
            if tracks is None:
                continue
            steps = len(tracks.get(STEP, ()))
            if not steps or any(len(track) != steps for track in tracks.values()):
                raise ValueError(f"laps by the {clock} clock are unequally many, or there is none")


class Block(Record, frozen=True, kw_only=True):
    """A stretch of steps measured together.

    Attributes:
        kind: `lapped` (a lap at each phase boundary) or `bare` (the plain loop).
        steps: Training steps.
        elapsed_s: Seconds from before the first to after the last, all device work done.
    """

    kind: Literal["lapped", "bare"]
    steps: Positive
    elapsed_s: Seconds


class SamplingFacts(Record, frozen=True, kw_only=True):
    """The end of sampling.

    Attributes:
        stopped: `precise` (the interval of the median met the target), `time` (`--max-time` came
            first) or `steps` (`--steps` were asked for).
        rel_error: Half the width of the median step's 95 % interval, as a share of the median;
            `None` where the steps were too few for one.
        target: What was asked for.
        elapsed_s: Seconds that sampling took.
    """

    stopped: str
    rel_error: Share | None
    target: Share
    elapsed_s: Seconds


class BlockNoise(Record, frozen=True, kw_only=True):
    """What went on around a block. `None` where the system does not tell.

    Attributes:
        kind: The block's kind.
        kept: True where the block counts.
        others: The share of all usable cores' time in which processes outside the case's ran.
        steal: The share of it that the machine's host gave to other machines.
        pressure: The share of wall time in which some task, of anyone's, waited for a core.
        cpu_per_wall: Processor time of the case's processes per wall time.
        involuntary_switches: How often the case's process had to yield its core.
        clock_hz: The device's clock at the block's end, Hz (CUDA).
        throttled: Why the device ran below its clock, apart from its power limit (CUDA).
    """

    kind: Literal["lapped", "bare"]
    kept: bool
    others: Share | None
    steal: Share | None
    pressure: float | None
    cpu_per_wall: float
    involuntary_switches: Count
    clock_hz: float | None = None
    throttled: str | None = None


class NoiseLimits(Record, frozen=True, kw_only=True):
    """Above which a block is discarded: shares of all usable cores' time.

    Attributes:
        others: Of processes outside the case's.
        steal: Of the machine's host.
    """

    others: Share
    steal: Share


class Noise(Record, frozen=True, kw_only=True):
    """Interference while the case was sampled.

    Attributes:
        disturbed: True where disturbed blocks had to be counted, as measuring again had come to its
            bound, or where more than a fifth of all blocks were discarded.
        set_aside: Blocks discarded and measured again; their laps are not kept.
        limits: Above which a block is discarded.
        blocks: Every block, the discarded ones included.
    """

    disturbed: bool
    set_aside: Count
    limits: NoiseLimits
    blocks: tuple[BlockNoise, ...] = ()


class WarmUpFacts(Record, frozen=True, kw_only=True):
    """What came before sampling.

    Attributes:
        steps: Steps of the warm-up.
        elapsed_s: Seconds that it took.
        settled: True where it ended because steps had stopped getting faster.
        step_s: The mean step of its last window, seconds.
    """

    steps: Count
    elapsed_s: Seconds
    settled: bool
    step_s: Seconds


class LoaderFacts(Record, frozen=True, kw_only=True):
    """The loader by itself, with nothing else running.

    Attributes:
        start_s: Seconds from making its iterator to the first batch.
        restart_s: The same at an epoch's end, the old workers' end included.
        samples_per_s: Its own rate.
        batches: Batches that the rate was taken over.
        disturbed: True where other processes kept the machine busy at every try.
        ready: Batches that its workers keep prepared.
        batches_a_step: Batches that a training step takes.
        unloaded_step_s: What a training step took with one batch again and again, and nothing to
            load, seconds; `None` where others kept the machine busy.
    """

    start_s: Seconds
    restart_s: Seconds
    samples_per_s: float
    batches: Count
    disturbed: bool
    ready: Count
    batches_a_step: Count = 0
    unloaded_step_s: Seconds | None = None


class DevicePeak(Record, frozen=True, kw_only=True):
    """The device's peak memory; `None` where the device keeps none.

    Attributes:
        device_peak_allocated_bytes: Allocated at once, at most.
        device_peak_reserved_bytes: Reserved by the allocator, at most.
    """

    device_peak_allocated_bytes: Bytes | None = None
    device_peak_reserved_bytes: Bytes | None = None


class MemoryFacts(Record, frozen=True, kw_only=True):
    """Peak memory of the sampled steps; the host's from a pass of its own.

    Attributes:
        host_peak_bytes: Of the process tree: proportional set sizes added up.
        saved_bytes: What autograd keeps of one forward pass for the backward pass, without
            parameters and the batch itself; `None` where there was none, or it could not be had.
        device_peak_allocated_bytes: Allocated at once on the device, at most.
        device_peak_reserved_bytes: Reserved by the device's allocator, at most.
        warmup: The device's peaks of the warm-up before.
    """

    host_peak_bytes: Bytes
    saved_bytes: Bytes | None = None
    device_peak_allocated_bytes: Bytes | None = None
    device_peak_reserved_bytes: Bytes | None = None
    warmup: DevicePeak = DevicePeak()


class Operations(Record, frozen=True, kw_only=True):
    """What one step computes and moves, counted on the eager model in a pass of its own.

    Attributes:
        flops: Floating-point operations of forward and backward, 2 for a multiply-add.
        bytes: Bytes that its operators read and write.
        operators: Operators that were called.
        reason: Why they could not be counted; the figures are then `None`.
    """

    flops: LargeCount | None
    bytes: LargeCount | None
    operators: Count | None
    reason: str | None = None


class LaunchOverhead(Record, frozen=True, kw_only=True):
    """Forward and backward with next to no data: Python, dispatch and kernel launches.

    Attributes:
        batch_size: Samples that the batch was cut to; `None` where it could not be had.
        forward_s: Seconds of the forward pass.
        backward_s: Seconds of the backward pass; 0 in evaluation.
        reason: Why it could not be had, as for models that would be compiled anew.
    """

    batch_size: Positive | None
    forward_s: Seconds | None
    backward_s: Seconds | None
    reason: str | None = None


class RankTrack(Record, frozen=True, kw_only=True):
    """One rank's part of a case that runs in several processes.

    Attributes:
        rank: Its number.
        host: The machine that it ran on.
        laps: Its laps.
        blocks: Its blocks.
    """

    rank: Count
    host: str
    laps: Laps
    blocks: tuple[Block, ...]


class TurnFacts(Record, frozen=True, kw_only=True):
    """A turn of a player among others, in a round (`--one-at-a-time` has none).

    Attributes:
        generation: Which of the player's processes took it, from 0.
        round: Which round of the generation, from 0.
        kind: `lapped`, `bare` or `unloaded` (one batch again and again).
        steps: Training steps.
        elapsed_s: Seconds, all device work done.
    """

    generation: Count
    round: Count
    kind: Literal["lapped", "bare", "unloaded"]
    steps: Positive
    elapsed_s: Seconds


class EnergyFacts(Record, frozen=True, kw_only=True):
    """Energy over the bare blocks, where the device tells it.

    Attributes:
        device_joules: Of the device.
        elapsed_s: Seconds that it was taken over.
    """

    device_joules: float
    elapsed_s: Seconds


class Findings(Record, frozen=True, kw_only=True):
    """The figures of a case that was measured. Times in seconds, sizes in bytes.

    Attributes:
        data: What it trained on.
        model: What was trained.
        settings: The settings in force.
        clock: The clock that laps were read from.
        phases: The phases that the case has, in order; `transfer` does not exist on the CPU,
            `backward` and `optimizer` not in evaluation.
        laps: By clock and phase, a number for each step.
        micro_laps: With `accumulate` above 1, the laps of each micro-batch by themselves, by the
            clock that tells how long the work took: by phase a row for each step, with a number for
            each micro-batch. `laps` are their sums.
        blocks: Every block that counted, in order.
        sampling: Why sampling ended.
        noise: Interference meanwhile.
        warmup: What came before.
        first_step_s: The very first step, with kernel selection, allocator growth and (from a warm
            cache) compilation.
        loader: The loader by itself.
        compile: What was compiled; `None` for eager cases.
        memory: Peaks.
        work: The operations of one step.
        fixed: The launch overhead of one step.
        host: The machine that measured it; `None` where that is the run's own.
        ranks: A track for each rank; empty where the case is one process.
        turns: Turns taken among other players; empty where it was measured by itself.
        energy: Energy; `None` where the device does not tell.
    """

    data: DataFacts
    model: ModelFacts
    settings: AppliedSettings
    clock: ClockFacts
    phases: tuple[str, ...]
    laps: Laps
    micro_laps: dict[str, list[list[Lap]]] | None = None
    blocks: Annotated[tuple[Block, ...], Meta(min_length=1)]
    sampling: SamplingFacts
    noise: Noise
    warmup: WarmUpFacts
    first_step_s: Seconds
    loader: LoaderFacts
    compile: Compilation | None = None
    memory: MemoryFacts
    work: Operations
    fixed: LaunchOverhead
    host: str | None = None
    ranks: tuple[RankTrack, ...] = ()
    turns: tuple[TurnFacts, ...] = ()
    energy: EnergyFacts | None = None
