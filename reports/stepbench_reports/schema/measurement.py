"""`cases/<id>.json`: one case's measurement."""

from typing import Annotated, Literal

from msgspec import Meta, field

from stepbench_reports.schema.case_facts import AppliedSettings, ClockFacts, DataFacts, ModelFacts
from stepbench_reports.schema.compilation import Compilation
from stepbench_reports.schema.machine_use import Noise, Suspension
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
from stepbench_reports.schema.script import ScriptFacts
from stepbench_reports.schema.stop_reason import StopReason

SCHEMA = 4
"""The format version of `run.json` and `cases/<id>.json`; increased when a meaning changes."""


class Laps(Record, frozen=True, kw_only=True):
    """Laps of all lapped blocks, seconds: for each phase, a number for each step, in order.

    The entry `step` holds the laps of the whole step.

    Attributes:
        host: Laps by the host's clock.
        device: Laps by the device's clock; `None` if the device is synchronous (the CPU), and with
            `--sync-phases`.
    """

    host: dict[str, list[Lap]]
    device: dict[str, list[Lap]] | None = None

    @property
    def decisive(self) -> dict[str, list[float]]:
        """The laps by the device's clock if there is one, else by the host's clock."""
        return self.device or self.host

    def __post_init__(self) -> None:
        """Raises `ValueError` if phases differ in their number of laps, or if `step` is missing."""
        for clock, tracks in (("host", self.host), ("device", self.device)):
            if tracks is None:
                continue
            steps = len(tracks.get(STEP, ()))
            if not steps or any(len(track) != steps for track in tracks.values()):
                raise ValueError(f"laps by the {clock} clock are missing or differ in number")


class Block(Record, frozen=True, kw_only=True):
    """A block of consecutive steps that are measured together.

    Attributes:
        kind: `lapped` (a lap at each phase boundary) or `bare` (the plain loop).
        steps: The number of training steps.
        elapsed_s: The time from the first step's start until all device work of the last step is
            done, seconds.
    """

    kind: Literal["lapped", "bare"]
    steps: Positive
    elapsed_s: Seconds


class SamplingFacts(Record, frozen=True, kw_only=True):
    """The end of sampling: its reason, and the precision that was reached.

    Attributes:
        stopped: The reason for the end.
        rel_error: Half the width of the 95 % confidence interval of the mean step, as a share of
            the mean; `None` from a single generation.
        target: The target for half the width of the interval of each comparison.
        elapsed_s: The duration of all generations of the case's group, seconds.
        generations: The number of generations.
    """

    stopped: StopReason
    rel_error: Share | None
    target: Share
    elapsed_s: Seconds
    generations: Count = 1


class WarmUpFacts(Record, frozen=True, kw_only=True):
    """The warm-up before sampling.

    Attributes:
        steps: The number of warm-up steps.
        elapsed_s: The duration of the warm-up, seconds.
        steady: True if the warm-up ended because steps no longer became faster.
        step_s: The mean duration of a step in the last window of the warm-up, seconds.
    """

    steps: Count
    elapsed_s: Seconds
    steady: bool
    step_s: Seconds


class LoaderFacts(Record, frozen=True, kw_only=True):
    """The loader, measured alone with no training step running.

    Attributes:
        start_s: The time from creating the loader's iterator to the first batch, seconds.
        restart_s: The same time at the end of an epoch, seconds; includes stopping the old workers.
        samples_per_s: The loader's throughput, samples per second.
        batches: The number of batches over which the throughput was measured.
        interference: True if other processes kept the machine busy at every try.
        ready: The number of batches that the workers prefetch.
        batches_per_step: The number of batches that a training step takes from the loader.
        unloaded_step_s: The duration of a training step that reuses one batch and loads nothing,
            seconds; `None` if it was not measured.
    """

    start_s: Seconds
    restart_s: Seconds
    samples_per_s: float
    batches: Count
    interference: bool
    ready: Count
    batches_per_step: Count = 0
    unloaded_step_s: Seconds | None = None


class DevicePeak(Record, frozen=True, kw_only=True):
    """The device's peak memory; `null` in the file if the device does not record a peak.

    Attributes:
        device_peak_allocated_bytes: The peak of allocated memory, bytes.
        device_peak_reserved_bytes: The peak of memory reserved by the allocator, bytes.
    """

    device_peak_allocated_bytes: Bytes | None = None
    device_peak_reserved_bytes: Bytes | None = None


class MemoryFacts(Record, frozen=True, kw_only=True):
    """Peak memory: the device's over the sampled steps, the host's over a separate pass.

    Attributes:
        host_peak_bytes: The highest of readings, every 20 ms, of the process tree's memory, bytes:
            the resident memory of the case's process, and what its loader workers add. Linux
            counts page-locked (pinned) memory in it.
        host_pinned_bytes: The page-locked (pinned) memory that torch's allocator held at the end
            of that pass, in use or cached, bytes: a part of `host_peak_bytes`. `None` if the
            device is not a CUDA device, or torch does not count it (before 2.7).
        saved_bytes: The size of the tensors that autograd saves in one forward pass for the
            backward pass, bytes, without parameters and the batch; `None` if there is no backward
            pass or the size could not be measured.
        device_peak_allocated_bytes: The peak of memory allocated on the device, bytes.
        device_peak_reserved_bytes: The peak of memory reserved by the device's allocator, bytes.
        warmup: The device's peak memory up to the end of the warm-up.
    """

    host_peak_bytes: Bytes
    host_pinned_bytes: Bytes | None = None
    saved_bytes: Bytes | None = None
    device_peak_allocated_bytes: Bytes | None = None
    device_peak_reserved_bytes: Bytes | None = None
    warmup: DevicePeak = DevicePeak()


class Operations(Record, frozen=True, kw_only=True):
    """The operations of one step, counted on the eager model in a separate pass.

    Attributes:
        flops: The number of floating-point operations of forward and backward; a multiply-add
            counts as 2.
        bytes: The number of bytes that the step's operators read and write.
        operators: The number of operator calls.
        reason: The reason for which the operations could not be counted; the numbers are then
            `None`.
    """

    flops: LargeCount | None
    bytes: LargeCount | None
    operators: Count | None
    reason: str | None = None


class LaunchOverhead(Record, frozen=True, kw_only=True):
    """The time of forward and backward with no data: Python, dispatch and kernel launches.

    It is extrapolated from laps on a whole batch of B samples and on a tiny batch of b samples (the
    median over turns of their means), by the device's clock if there is one:
    t(b) - b (t(B) - t(b)) / (B - b).

    Attributes:
        batch_size: The number of samples in the tiny batch; `None` if there is no measurement.
        forward_s: The fixed cost of the forward pass, seconds.
        backward_s: The fixed cost of the backward pass, seconds; 0 in evaluation.
        reason: The reason for which there is no measurement, such as a model that would be
            recompiled for the batch.
    """

    batch_size: Positive | None
    forward_s: Seconds | None
    backward_s: Seconds | None
    reason: str | None = None


class RankTrack(Record, frozen=True, kw_only=True):
    """The measurement of one rank, in a case that runs in several processes.

    Attributes:
        rank: The rank's number.
        host: The machine on which the rank ran.
        laps: The rank's laps.
        blocks: The rank's blocks.
    """

    rank: Count
    host: str
    laps: Laps
    blocks: tuple[Block, ...]


class TurnFacts(Record, frozen=True, kw_only=True):
    """A turn of a player: a case's process, which takes turns with the processes of other cases.

    Attributes:
        group: The number of the players' group in the run, from 0; only the players of a group
            take turns with each other.
        generation: The number of the players' generation in the group, from 0; each generation has
            fresh processes.
        round: The number of the round in the generation, from 0.
        kind: `lapped`, `bare`, `unloaded` (lapped steps on one batch again and again) or `tiny`
            (the same on a batch of as few samples as the model accepts).
        steps: The number of training steps.
        elapsed_s: The time until all device work of the turn is done, seconds.
        counts: False if the turn is left out: threads waited for a core for longer than is usual
            for the player, the CPU quota stopped them for longer than is usual, something was
            compiled, the device was throttled, or it was suspended.
        compiled: True if something was compiled in the turn, whose time is then in no sum.
        suspended: How the turn was suspended, as in `noise`; its time is then in no sum.
        run_delay: The time for which threads were runnable and had no core, summed over the
            threads, as a share of `elapsed_s`; `None` if the system does not tell.
        probe_s: The duration of a fixed piece of work just before the turn, seconds: it tells the
            machine's speed. `None` if there was no probe.
        phases_s: The time of each phase over all steps, seconds, by the device's clock if there is
            one, else by the host's; empty in a bare turn.
    """

    group: Count = 0
    generation: Count
    round: Count
    kind: Literal["lapped", "bare", "unloaded", "tiny"]
    steps: Positive
    elapsed_s: Seconds
    counts: bool = True
    compiled: bool = False
    suspended: Suspension | None = None
    run_delay: float | None = None
    probe_s: Seconds | None = None
    phases_s: dict[str, float] = field(default_factory=dict)

    @property
    def is_work(self) -> bool:
        """True if the turn's duration is that of its steps alone."""
        return not self.compiled and self.suspended is None


class EnergyFacts(Record, frozen=True, kw_only=True):
    """The energy that the device used during the bare blocks.

    Attributes:
        device_joules: The energy that the device used, joules.
        elapsed_s: The time over which the energy was measured, seconds.
    """

    device_joules: float
    elapsed_s: Seconds


class Findings(Record, frozen=True, kw_only=True):
    """The results of a measured case. Times are in seconds, sizes in bytes.

    Attributes:
        data: The data that the case trained on.
        model: The model that was trained.
        settings: The settings in force in the case's process.
        clock: The clock that measured the laps.
        phases: The case's phases in order; without `transfer` on the CPU, and without `backward`
            and `optimizer` in evaluation.
        laps: The laps: for each clock and phase, a number for each step.
        micro_laps: The laps of each micro-batch if `accumulate` is above 1, by the device's clock
            if there is one, else by the host's: for each phase, a row for each step with a number
            for each micro-batch. The sum of a row is the step's number in `laps`.
        blocks: Every block that counts, in order.
        sampling: The end of sampling.
        noise: Interference during sampling.
        warmup: The warm-up before sampling.
        first_step_s: The duration of the very first step, seconds; includes kernel selection,
            allocator growth and compilation (with a warm cache).
        loader: The loader, measured alone; `None` for a script, whose loader is not.
        compile: The compilation; `None` for eager cases.
        memory: Peak memory.
        work: The operations of one step.
        launch_overhead: The launch overhead of one step.
        host: The machine that measured the case; `None` if it is the machine of the run.
        ranks: The measurement of each rank; empty if the case runs in one process.
        turns: The case's turns with the other players of its group.
        energy: The energy used; `None` if the device does not report it.
        script: What was recognised of a script; `None` for a workload.
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
    loader: LoaderFacts | None
    compile: Compilation | None = None
    memory: MemoryFacts
    work: Operations
    launch_overhead: LaunchOverhead
    host: str | None = None
    ranks: tuple[RankTrack, ...] = ()
    turns: tuple[TurnFacts, ...] = ()
    energy: EnergyFacts | None = None
    script: ScriptFacts | None = None
