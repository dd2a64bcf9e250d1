"""One case's records, and the figures that follow from these records alone."""

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from stepbench_reports.analysis import bottleneck, comparison, launches
from stepbench_reports.analysis.bottleneck import StepFigures
from stepbench_reports.analysis.generations import (
    GenerationSteps,
    log_interval,
    mean_step,
)
from stepbench_reports.analysis.launches import FixedCost, Launches
from stepbench_reports.analysis.stats import UNKNOWN, Interval, point
from stepbench_reports.read.numbers import Tracks, number, share
from stepbench_reports.read.parity import UNKNOWN as NOT_COMPARED
from stepbench_reports.read.parity import Parity
from stepbench_reports.read.profile import UNKNOWN as NOT_PROFILED
from stepbench_reports.read.profile import Profile
from stepbench_reports.read.step_figures import CaseContext, of_generation
from stepbench_reports.read.turns import Turns
from stepbench_reports.schema import measurement as schema
from stepbench_reports.schema.axes import AxisValues
from stepbench_reports.schema.axis_labels import EAGER
from stepbench_reports.schema.compilation import ColdStart, Compilation
from stepbench_reports.schema.measurement import Block, DevicePeak, Findings, MemoryFacts
from stepbench_reports.schema.phases import STEP, Phase
from stepbench_reports.schema.script import ScriptFacts
from stepbench_reports.schema.status import Status
from stepbench_reports.schema.stop_reason import StopReason

CLOCKS = schema.Laps.__struct_fields__
"""The clocks that time laps: `host` and `device`."""
DAMAGED, NOT_MEASURED = "damaged", "not measured"
"""The statuses of a case whose file cannot be used, and of a case that has no file."""


@dataclass(frozen=True)
class Measurement:
    """One case's results.

    Attributes:
        id: The case's name.
        axes: The case's value on each axis; empty if no file records them.
        status: The file's `Status`, or `DAMAGED`, or `NOT_MEASURED`.
        reason: One sentence, if the status is not `Status.OK`.
        detail: A traceback or the end of the output; `None` if there is none.
        start_s: Seconds from requesting the case's process to its first message; NaN if unknown.
        elapsed_s: Seconds from the request for the case's process to its end; NaN if unknown.
        left_behind: The processes that outlived the case and were ended: the number of each name.
        ended: The time at which the case was measured last, UTC; `None` if unknown.
        findings: The figures of the file; `None` if the file has none.
        blocks: Every block that counts, in order.
        laps: Seconds of each phase and step, by clock; empty if the status is not `Status.OK`.
        micro_laps: If a step has several micro-batches, their laps: an array of shape (steps,
            micro-batches) for each phase, in seconds of `clock`.
        parity: The case's parity: if it trains the same model.
        profile: The case's profile.
    """

    id: str
    axes: AxisValues
    status: str
    reason: str | None = None
    detail: str | None = None
    start_s: float = math.nan
    elapsed_s: float = math.nan
    left_behind: Mapping[str, int] = field(default_factory=dict)
    ended: datetime | None = None
    findings: Findings | None = None
    blocks: tuple[Block, ...] = ()
    laps: Mapping[str, Tracks] = field(default_factory=dict)
    micro_laps: Tracks = field(default_factory=dict)
    parity: Parity = NOT_COMPARED
    profile: Profile = NOT_PROFILED

    @property
    def ok(self) -> bool:
        """True if the case was measured."""
        return self.status == Status.OK

    @property
    def counts(self) -> bool:
        """True if comparisons include the case: measured, parity not failed, little left out."""
        return self.ok and not self.parity.failed and not self.interference

    @property
    def clock(self) -> str:
        """The clock of the reported times: `device` if the device timed laps, else `host`."""
        return "device" if "device" in self.laps else "host"

    @property
    def compiled(self) -> bool:
        """True if the case uses `torch.compile`."""
        return bool(self.axes.get("compile", EAGER) != EAGER)

    @property
    def interference(self) -> bool:
        """True if more than half of the turns were left out because of interference."""
        return self.findings is not None and self.findings.noise.interference

    @property
    def loader_interference(self) -> bool:
        """True if other processes interfered with every try to measure the loader's rate alone."""
        loader = None if self.findings is None else self.findings.loader
        return loader is not None and loader.interference

    @property
    def checked_blocks(self) -> float:
        """The number of turns that were checked for interference; NaN if unknown."""
        return self.value(lambda findings: len(findings.noise.blocks))

    @property
    def discarded_blocks(self) -> float:
        """The number of turns that were left out; NaN if unknown."""
        return self.value(lambda findings: findings.noise.discarded)

    @property
    def host(self) -> str | None:
        """The host that measured the case, in a run on a cluster; `None` if unknown."""
        return None if self.findings is None else self.findings.host

    @property
    def stopped(self) -> StopReason | None:
        """The reason why sampling ended; `None` if unknown."""
        return None if self.findings is None else self.findings.sampling.stopped

    @property
    def sync_phases(self) -> bool:
        """True if every lap waited for the device (`--sync-phases`)."""
        return self.findings is not None and self.findings.settings.sync_phases

    @property
    def compilation(self) -> Compilation | None:
        """The facts of the compilation; `None` for eager cases."""
        return None if self.findings is None else self.findings.compile

    @property
    def uses_cuda_graphs(self) -> bool:
        """True if torch was to replay the case's compiled code as CUDA graphs."""
        return self.compilation is not None and self.compilation.cuda_graph_skips is not None

    @property
    def device_peak_bytes(self) -> float:
        """The device's peak memory over the sampled steps, bytes; NaN if unknown.

        The memory of CUDA graphs does not count as allocated. With them it is the peak of reserved
        memory, else that of allocated memory.
        """
        return self.value(lambda findings: self._device_peak(findings.memory))

    @property
    def warmup_peak_bytes(self) -> float:
        """The device's peak memory up to the end of warm-up, bytes; NaN if unknown."""
        return self.value(lambda findings: self._device_peak(findings.memory.warmup))

    def _device_peak(self, peak: MemoryFacts | DevicePeak) -> float | None:
        if self.uses_cuda_graphs:
            return peak.device_peak_reserved_bytes
        return peak.device_peak_allocated_bytes

    @property
    def cold(self) -> ColdStart | None:
        """The case's first compilation with an empty cache; `None` if there was none."""
        return None if self.compilation is None else self.compilation.cold

    @property
    def cold_compile_s(self) -> float:
        """Seconds to compile with an empty cache; NaN if unknown."""
        return math.nan if self.cold is None else self.cold.compile_s

    @property
    def cold_first_step_s(self) -> float:
        """Seconds of the first step with an empty compile cache; NaN if unknown."""
        return math.nan if self.cold is None else self.cold.first_step_s

    @property
    def loader_samples_per_s(self) -> float:
        """The loader's rate with nothing else running, samples per second; NaN if unknown."""
        return self.loader_value(lambda loader: loader.samples_per_s)

    @property
    def unloaded_step_s(self) -> float:
        """Seconds of a step that reuses one batch and loads nothing; NaN if unknown."""
        return self.loader_value(lambda loader: loader.unloaded_step_s)

    @cached_property
    def medians(self) -> Mapping[str, Interval]:
        """Median seconds of each phase and of the step, by `clock`, with 95 % intervals."""
        tracks = self.laps.get(self.clock, {})
        return {name: self.turns.median(laps) for name, laps in tracks.items()}

    @cached_property
    def turns(self) -> Turns:
        """The case's turns; none if they are unknown."""
        taken = () if self.findings is None else self.findings.turns
        return Turns(taken, workers=self.axes.get("num_workers", 0) != 0)

    @cached_property
    def generations(self) -> Mapping[Hashable, GenerationSteps]:
        """The mean steps without laps in each generation, by group and generation."""
        return self.turns.steps("bare")

    @cached_property
    def shares(self) -> Mapping[str, float]:
        """Each phase's share of the total time of all steps, by `clock`."""
        laps = self.laps.get(self.clock, {})
        return {name: share(laps, name) for name in laps if name != STEP}

    @property
    def step(self) -> Interval:
        """The median step, seconds; NaN if the case was not measured."""
        return self.medians.get(STEP, UNKNOWN)

    @cached_property
    def bare_step(self) -> Interval:
        """The mean step over all bare turns (timed without laps), seconds; NaN without any."""
        return self._mean_step("bare")

    @cached_property
    def lapped_step(self) -> Interval:
        """The mean step over all lapped turns, seconds; NaN without any."""
        return self._mean_step("lapped")

    def _mean_step(self, kind: str) -> Interval:
        generations = self.turns.steps(kind)
        if not generations:
            return comparison.mean_block_step(self.blocks, kind)
        return mean_step(generations)

    @property
    def mean_step(self) -> Interval:
        """The mean step, seconds, over bare blocks if there are any, else over lapped ones.

        The mean includes waits for the loader, which come in bursts that the median step misses.
        Bare blocks are preferred because they do not pay for laps.
        """
        return self.lapped_step if math.isnan(self.bare_step.value) else self.bare_step

    @property
    def micro_batches(self) -> int:
        """The number of micro-batches in a step (`accumulate`)."""
        return int(number(self.axes.get("accumulate", 1)))

    @property
    def samples(self) -> int:
        """Samples in a step: batch size times batches.

        Batches are those that a step takes from the loader if recorded (a workload may define a
        step that takes several), else `micro_batches`.
        """
        recorded = self.loader_value(lambda loader: loader.batches_per_step)
        batches = int(recorded) if recorded > 0 else self.micro_batches
        return int(number(self.axes["batch_size"])) * batches

    @cached_property
    def samples_per_s(self) -> Interval:
        """Samples per second, from the mean step."""
        return comparison.samples_per_s(self.samples, self.mean_step) if self.ok else UNKNOWN

    @property
    def lapped_per_bare(self) -> float:
        """The cost of laps: mean step with laps / mean step without; NaN if unknown."""
        return self.lap_cost.value

    @cached_property
    def lap_cost(self) -> Interval:
        """The mean step with laps / without, paired by round; NaN if unknown."""
        costs = self.turns.lap_costs()
        if not costs:
            return point(self.lapped_step.value / self.bare_step.value)
        return log_interval(costs)

    def mean_lap(self, phase: str, clock: str) -> float:
        """A phase's mean seconds in a step, by one clock; NaN if the phase has no laps by it."""
        laps = self.laps.get(clock, {}).get(phase)
        return math.nan if laps is None else float(laps.mean())

    @property
    def flops(self) -> float:
        """Floating-point operations of forward and backward in a whole step; NaN if unknown."""
        return self.value(lambda findings: findings.work.flops) * self.micro_batches

    @property
    def bytes(self) -> float:
        """Bytes that operators of forward and backward read and write in a step; NaN if unknown."""
        return self.value(lambda findings: findings.work.bytes) * self.micro_batches

    @property
    def flops_per_s(self) -> float:
        """Floating-point operations of forward and backward per second of the mean step."""
        return self.flops / self.mean_step.value

    @property
    def intensity(self) -> float:
        """Floating-point operations per byte read or written; NaN if unknown."""
        return self.flops / self.bytes if self.bytes > 0 else math.nan

    @cached_property
    def launches(self) -> Mapping[str, Launches]:
        """The fixed cost of a step's forward and, in training, of its backward, by phase.

        Only an asynchronous device hides any of it.
        """
        fixed_s = {Phase.FORWARD: self.value(lambda f: f.launch_overhead.forward_s)}
        if Phase.BACKWARD in self.shares:
            fixed_s[Phase.BACKWARD] = self.value(lambda f: f.launch_overhead.backward_s)
        of_step = {phase: batch_s * self.micro_batches for phase, batch_s in fixed_s.items()}
        if self.clock != "device":
            return {phase: Launches(seconds) for phase, seconds in of_step.items()}
        tiny_share = self._tiny_size / number(self.axes["batch_size"])
        return launches.asynchronous(
            {
                phase: FixedCost(seconds, self.medians.get(phase, UNKNOWN).value, tiny_share)
                for phase, seconds in of_step.items()
            }
        )

    @property
    def _tiny_size(self) -> float:
        return self.value(lambda findings: findings.launch_overhead.batch_size)

    @property
    def fixed_cost_s(self) -> float:
        """Seconds of a step's forward and backward with next to no data; no hidden launches."""
        return sum(of_phase.exposed_s for of_phase in self.launches.values())

    @property
    def hidden_launch_s(self) -> float:
        """Seconds of a step's launches that the device's work hides; NaN if unknown."""
        return sum(of_phase.hidden_s for of_phase in self.launches.values())

    @property
    def worker_cores_s(self) -> float:
        """Seconds by which loader workers lengthen forward and backward; NaN if unknown.

        On an asynchronous device they take no time of the device's work.
        """
        return 0.0 if self.clock == "device" else self.turns.worker_cores_s

    @cached_property
    def bottleneck(self) -> bottleneck.Bottleneck | None:
        """The bottleneck of the step; `None` if the figures do not show it."""
        if not self.ok:
            return None
        loader_rate = self.loader_samples_per_s
        is_rate_valid = self.turns.workers and loader_rate > 0 and not self.loader_interference
        batch_size = number(self.axes.get("batch_size"))
        case = CaseContext(self.launches, self._tiny_size, batch_size, self.clock == "device")
        whole = StepFigures(
            self.mean_step.value,
            self.shares,
            self.fixed_cost_s,
            self.unloaded_step_s,
            self.hidden_launch_s,
            self.worker_cores_s,
        )
        return bottleneck.find(
            whole,
            [of_generation(turns, case) for turns in self.turns.by_generation()],
            loader_step_s=self.samples / loader_rate if is_rate_valid else math.nan,
            workers=int(number(self.axes.get("num_workers", 0))),
        )

    def value(self, get: Callable[[Findings], float | None]) -> float:
        """A number from the findings; NaN if there are no findings, or if the number is `None`.

        Args:
            get: Takes the number from the findings.
        """
        return math.nan if self.findings is None else number(get(self.findings))

    def loader_value(self, get: Callable[[schema.LoaderFacts], float | None]) -> float:
        """A number from the facts of the loader; NaN if it was not measured, as for a script.

        Args:
            get: Takes the number from the loader's facts.
        """
        loader = None if self.findings is None else self.findings.loader
        return math.nan if loader is None else number(get(loader))

    @property
    def script(self) -> ScriptFacts | None:
        """The parts of a script that were recognised; `None` for a workload."""
        return None if self.findings is None else self.findings.script

    def compile_value(self, get: Callable[[Compilation], float | None]) -> float:
        """A number from the facts of the compilation; NaN for eager cases.

        Args:
            get: Takes the number from the compilation.
        """
        return math.nan if self.compilation is None else number(get(self.compilation))
