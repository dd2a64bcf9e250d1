"""Measures one case, from build to findings, in the case's child process.

The order matters. The loader's start is timed first, then the loader's rate while nothing else
runs, then the first step. Warm-up runs until a steady state; then blocks are sampled.
Separate passes follow for all that would disturb the timing: memory, a step's operations and fixed
cost, and the loader's restart.
"""

from collections.abc import Callable
from dataclasses import dataclass

from stepbench.config.requests import Request
from stepbench.devices.clock import DeviceClock, SynchronizedClock
from stepbench.devices.kinds import kind_of
from stepbench.interference.watch import MachineWatch, Watch, until_quiet
from stepbench.measurement.active_case import ActiveCase, start_case
from stepbench.measurement.facts import (
    clock_facts,
    data_facts,
    laps_of,
    model_facts,
)
from stepbench.measurement.launch_overhead import launch_overhead_of, unloaded_step_s
from stepbench.measurement.loader import Rate
from stepbench.measurement.memory import HostPeak
from stepbench.measurement.operation_counts import count_operations
from stepbench.measurement.sampling import Samples, sample
from stepbench.measurement.warm_up import warm_up
from stepbench.training import compilation, settings
from stepbench_reports.schema import phases
from stepbench_reports.schema.compilation import Compilation
from stepbench_reports.schema.measurement import (
    DevicePeak,
    Findings,
    LaunchOverhead,
    LoaderFacts,
    MemoryFacts,
    Operations,
    WarmUpFacts,
)
from stepbench_reports.schema.phases import Phase

MEMORY_PASS_S = 0.2
"""The approximate duration of the pass that reads memory, seconds."""

Report = Callable[[str], None]


def measure(report: Report, request: Request) -> Findings:
    """Measures a case in this process.

    Args:
        report: Called with a short progress message.
        request: The case to measure, with its settings.

    Raises:
        UsageError: The case names something that does not exist.
        UnsupportedError: This machine cannot run the case.
    """
    active = start_case(request, report)
    case = request.case
    # Made after the loader's workers have started, so that they do not count as interference.
    watch = MachineWatch(kind_of(case.device).gauge(case.device))
    rate, quiet = until_quiet(watch, active.source.measure_rate)
    clock = active.timed_loop.clock
    lap_clock = SynchronizedClock(clock) if request.sampling.sync_phases else clock
    timed = _time_steps(report, request, active, watch, lap_clock)
    passes = _take_passes(report, request, active, watch, timed)
    loader = _loader_facts(active, request, rate, passes, interference=not quiet)
    return _findings(request, active, lap_clock, timed, passes, loader=loader)


@dataclass(frozen=True)
class _TimedSteps:
    """The timing of steps, from the first step to the last sampled one.

    Attributes:
        first_step_s: The duration of the first step, compilation included, seconds.
        warmup: The facts of warm-up.
        warmup_peak: The device's peak memory up to the end of warm-up.
        samples: The sampled blocks.
        device_peak: The device's peak memory during sampling.
        compiled: The facts of compilation up to the end of sampling.
    """

    first_step_s: float
    warmup: WarmUpFacts
    warmup_peak: DevicePeak
    samples: Samples
    device_peak: DevicePeak
    compiled: Compilation | None


def _time_steps(
    report: Report,
    request: Request,
    active: ActiveCase,
    watch: MachineWatch,
    lap_clock: DeviceClock,
) -> _TimedSteps:
    """Takes the first step, warms up and samples."""
    case, timed_loop = request.case, active.timed_loop
    kind = kind_of(case.device)
    report("first step" if case.compile == "off" else "compiling")
    first_step_s = timed_loop.bare(1).elapsed_s
    compilation.end_workers()
    report("warming up")
    warmup = warm_up(timed_loop, request.sampling)
    compilation.end_workers()  # a step of warm-up may have recompiled
    watch.list_processes()
    warmup_peak = kind.peak_memory(case.device)
    kind.reset_peak_memory(case.device)
    report("sampling")
    samples = sample(
        timed_loop,
        request.sampling,
        watch,
        lap_clock,
        ready=-(-active.source.ready // case.accumulate),
        step_s=warmup.step_s,
        report=report,
    )
    device_peak = kind.peak_memory(case.device)
    compiled = compilation.facts(case)
    return _TimedSteps(first_step_s, warmup, warmup_peak, samples, device_peak, compiled)


@dataclass(frozen=True)
class _Passes:
    """The findings of the passes after sampling, which would disturb the timing of steps.

    Attributes:
        host_peak_bytes: The peak memory of the process tree, bytes.
        host_pinned_bytes: The page-locked memory that torch held at the end of that pass, bytes;
            `None` if unknown.
        operations: The operations of one step.
        saved_bytes: Memory that autograd keeps from forward for backward, bytes.
        overhead: The fixed cost of a step.
        unloaded_step_s: The duration of a step without data loading, seconds; `None` if other
            processes interfered.
        batches_per_step: The number of batches that a step takes from the loader.
        loader_restart_s: Time from the end of an epoch to the first batch of the next, seconds.
    """

    host_peak_bytes: int
    host_pinned_bytes: int | None
    operations: Operations
    saved_bytes: int | None
    overhead: LaunchOverhead
    unloaded_step_s: float | None
    batches_per_step: int
    loader_restart_s: float


def _take_passes(
    report: Report, request: Request, active: ActiveCase, watch: Watch, timed: _TimedSteps
) -> _Passes:
    """Runs the passes after sampling: memory, operations, fixed cost, the loader's restart."""
    case, timed_loop = request.case, active.timed_loop
    compilation.end_workers()  # a sampled step may have recompiled
    report("measuring memory")
    with HostPeak() as host_peak:
        timed_loop.run(max(1, round(MEMORY_PASS_S / timed.warmup.step_s)))
        timed_loop.clock.synchronize()
    pinned_bytes = kind_of(case.device).pinned_bytes()
    report("counting operations")
    batch = next(active.source.batches)
    operations, saved_bytes = count_operations(active.built, case, batch)
    overhead = launch_overhead_of(timed_loop, watch, case, batch, timed.samples.laps)
    unloaded_s, quiet = until_quiet(watch, lambda: unloaded_step_s(timed_loop, batch))
    batches_per_step = timed_loop.step_phases().count(Phase.DATALOAD)
    report("restarting the loader")
    return _Passes(
        host_peak_bytes=host_peak.peak_bytes,
        host_pinned_bytes=pinned_bytes,
        operations=operations,
        saved_bytes=saved_bytes,
        overhead=overhead,
        unloaded_step_s=unloaded_s if quiet else None,
        batches_per_step=batches_per_step,
        loader_restart_s=active.source.start(),
    )


def _loader_facts(
    active: ActiveCase, request: Request, rate: Rate, passes: _Passes, *, interference: bool
) -> LoaderFacts:
    """Assembles the facts of the loader."""
    return LoaderFacts(
        start_s=active.loader_start_s,
        restart_s=passes.loader_restart_s,
        samples_per_s=rate.batches_per_s * request.case.batch_size,
        batches=rate.batches,
        interference=interference,
        ready=active.source.ready,
        batches_per_step=passes.batches_per_step,
        unloaded_step_s=passes.unloaded_step_s,
    )


def _findings(
    request: Request,
    active: ActiveCase,
    lap_clock: DeviceClock,
    timed: _TimedSteps,
    passes: _Passes,
    *,
    loader: LoaderFacts,
) -> Findings:
    """Assembles the findings."""
    case, samples, peak = request.case, timed.samples, timed.device_peak
    micro_laps = {name: laps.tolist() for name, laps in samples.laps.micro.items()}
    return Findings(
        data=data_facts(active.built),
        model=model_facts(active.built),
        settings=settings.record(
            request.settings, case.device, sync_phases=request.sampling.sync_phases
        ),
        clock=clock_facts(lap_clock),
        phases=tuple(str(phase) for phase in phases.phases_of(case.loop, case.device)),
        laps=laps_of(samples.laps, case),
        micro_laps=micro_laps if case.accumulate > 1 else None,
        blocks=samples.blocks,
        sampling=samples.sampling,
        noise=samples.noise,
        warmup=timed.warmup,
        first_step_s=timed.first_step_s,
        loader=loader,
        compile=timed.compiled,
        memory=MemoryFacts(
            host_peak_bytes=passes.host_peak_bytes,
            host_pinned_bytes=passes.host_pinned_bytes,
            saved_bytes=passes.saved_bytes,
            device_peak_allocated_bytes=peak.device_peak_allocated_bytes,
            device_peak_reserved_bytes=peak.device_peak_reserved_bytes,
            warmup=timed.warmup_peak,
        ),
        work=passes.operations,
        launch_overhead=passes.overhead,
    )
