"""Takes the passes that would disturb turns: memory, operations, the loader's restart."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from stepbench.config.requests import Request
from stepbench.config.turns import PlayerFacts
from stepbench.devices.kinds import kind_of
from stepbench.measurement.active_case import ActiveCase
from stepbench.measurement.facts import data_facts, model_facts
from stepbench.measurement.loader import Rate
from stepbench.measurement.memory import HostPeak
from stepbench.measurement.operation_counts import count_operations
from stepbench.measurement.timed_loop import TimedLoop
from stepbench.training import compilation, settings
from stepbench_reports.schema.case_facts import ClockFacts
from stepbench_reports.schema.measurement import DevicePeak, LoaderFacts, MemoryFacts
from stepbench_reports.schema.phases import Phase

MEMORY_PASS_S = 0.2
"""The approximate duration of the pass that reads memory, seconds."""


@dataclass(frozen=True)
class LoaderAlone:
    """The loader's rate while nothing else ran.

    Attributes:
        rate: The rate.
        quiet: False if other processes kept the machine busy at every try.
    """

    rate: Rate
    quiet: bool


def take_passes(
    report: Callable[[str], None],
    request: Request,
    active: ActiveCase,
    *,
    clock: ClockFacts,
    first_step_s: float,
    loader: LoaderAlone,
    peaks: tuple[DevicePeak, DevicePeak],
) -> PlayerFacts:
    """Takes the passes, and collects the facts of the case.

    Args:
        report: Called with a short progress message.
        request: The case, with its settings.
        active: The case after its last turn.
        clock: The clock that measured the laps.
        first_step_s: The duration of the very first step, seconds.
        loader: The loader's rate.
        peaks: The device's peak memory during warm-up, and during the turns.
    """
    compiled = compilation.facts(request.case)  # before the passes compile anything
    warm_up_peak, peak = peaks
    compilation.end_workers()  # their memory is not the case's
    report("measuring memory")
    host_bytes = host_peak_bytes(active.timed_loop)
    pinned_bytes = kind_of(request.case.device).pinned_bytes()
    report("counting operations")
    batch = next(active.source.batches)
    operations, saved_bytes = count_operations(active.built, request.case, batch)
    batches_per_step = active.timed_loop.step_phases().count(Phase.DATALOAD)
    report("restarting the loader")
    restart_s = active.source.start()
    return PlayerFacts(
        data=data_facts(active.built),
        model=model_facts(active.built),
        settings=settings.record(
            request.settings, request.case.device, sync_phases=request.sampling.sync_phases
        ),
        clock=clock,
        first_step_s=first_step_s,
        loader=_loader_facts(request, active, loader, restart_s, batches_per_step),
        compile=compiled,
        memory=MemoryFacts(
            host_peak_bytes=host_bytes,
            host_pinned_bytes=pinned_bytes,
            saved_bytes=saved_bytes,
            device_peak_allocated_bytes=peak.device_peak_allocated_bytes,
            device_peak_reserved_bytes=peak.device_peak_reserved_bytes,
            warmup=warm_up_peak,
        ),
        operations=operations,
    )


def host_peak_bytes(loop: TimedLoop) -> int:
    """Runs steps for `MEMORY_PASS_S`; returns the peak memory of the process tree, bytes."""
    with HostPeak() as host_peak:
        began_s = time.perf_counter()
        while time.perf_counter() - began_s < MEMORY_PASS_S:
            loop.run(1)
        loop.clock.synchronize()
    return host_peak.peak_bytes


def _loader_facts(
    request: Request,
    active: ActiveCase,
    alone: LoaderAlone,
    restart_s: float,
    batches_per_step: int,
) -> LoaderFacts:
    return LoaderFacts(
        start_s=active.loader_start_s,
        restart_s=restart_s,
        samples_per_s=alone.rate.batches_per_s * request.case.batch_size,
        batches=alone.rate.batches,
        interference=not alone.quiet,
        ready=active.source.ready,
        batches_per_step=batches_per_step,
    )
