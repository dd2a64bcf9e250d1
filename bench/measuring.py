"""One case, from build to findings.

Runs in the case's own child process. The order matters: what happens once (the loader's start, the
first step) is timed by itself; the loader shows its own rate while nothing else runs; warm-up goes
on until steps have settled; then blocks are sampled. What would disturb the timing comes after it,
each in a pass of its own: memory, the work of a step, its fixed cost, an epoch's end.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils._pytree import tree_leaves

from bench import batches, compilation, cycle, memory, phases, settings, work
from bench.build import Built, build
from bench.case import Case
from bench.clock import Device, Laps, SynchronizedDevice, device_clock
from bench.cycle import Training
from bench.disturbance import MachineWatch, Watch, gauge_of, undisturbed
from bench.fixed import Fixed, fixed_cost, unknown, unloaded_step_s
from bench.loading import Source
from bench.measurement import Findings
from bench.phases import Phase
from bench.placement import placed
from bench.request import Request
from bench.sampling import Subject, sample, warm_up

MEMORY_PASS_S = 0.2
"""How long steps run while memory is watched."""

Report = Callable[[str], None]


def measure(report: Report, request: Request) -> Findings:
    """Measures a case in this process.

    Args:
        report: Is told in a word what is being done.
        request: What to measure.

    Raises:
        UsageError: The case asks for something that is not there.
        UnsupportedError: This machine cannot run it.
    """
    case = request.case
    report("building")
    built = build(request)
    device = built.training.device
    source = Source(batches.make_loader(built.workload, built.dataset, case, request.settings.seed))
    clock = device_clock(device)
    lap_clock = SynchronizedDevice(clock) if request.sampling.sync_phases else clock

    report("starting the loader" if case.num_workers else "loading")
    start_s = source.start()
    watch = MachineWatch(gauge_of(case.device))  # knows the loader's workers, now that they run
    rate, calm = undisturbed(watch, source.own_rate)
    subject = Subject(cycle.LOOPS[case.loop], built.training, source, clock)

    report("first step" if case.compile == "off" else "compiling")
    first_step_s = subject.bare(1).elapsed_s
    report("warming up")
    warmup = warm_up(subject, request.sampling)
    memory_at_warmup = memory.device_peak(device)
    memory.reset_device_peak(device)
    report("sampling")
    samples = sample(
        subject,
        request.sampling,
        watch,
        lap_clock,
        ready=-(-source.ready // case.accumulate),
        step_s=warmup.step_s,
        report=report,
    )
    device_peak = memory.device_peak(device)
    compiled = compilation.facts(case.compile)

    report("watching memory")
    with memory.HostPeak() as host:
        subject.run(max(1, round(MEMORY_PASS_S / warmup.step_s)))
        clock.synchronize()
    report("counting its work")
    batch = next(source.batches)
    counted, saved_bytes = count_work(built, case, batch)
    fixed = fixed_of(subject, watch, case, batch, samples.laps)
    unloaded_s, unloaded_calm = undisturbed(watch, lambda: unloaded_step_s(subject, batch))
    laps_of_step = subject.laps()
    report("restarting the loader")
    restart_s = source.start()
    return Findings(
        data=data_facts(built),
        model=model_facts(built),
        settings={
            **settings.record(request.settings),
            "sync_phases": request.sampling.sync_phases,
        },
        clock=clock_facts(lap_clock),
        phases=tuple(str(phase) for phase in phases.of(case.loop, case.device)),
        laps={
            "host": lists(with_phases(samples.laps.host, case)),
            "device": lists(with_phases(samples.laps.device, case)),
        },
        micro_laps=lists(samples.laps.micro) if case.accumulate > 1 else None,
        blocks=samples.blocks,
        sampling=samples.sampling,
        noise=samples.noise,
        warmup=asdict(warmup),
        first_step_s=first_step_s,
        loader={
            "start_s": start_s,
            "restart_s": restart_s,
            "samples_per_s": rate.batches_per_s * case.batch_size,
            "batches": rate.batches,
            "disturbed": not calm,
            "ready": source.ready,
            "batches_a_step": laps_of_step.count(Phase.DATALOAD),
            "unloaded_step_s": unloaded_s if unloaded_calm else None,
        },
        compile=compiled,
        memory={
            "host_peak_bytes": host.peak_bytes,
            "saved_bytes": saved_bytes,
            **device_peak,
            "warmup": memory_at_warmup,
        },
        work=counted,
        fixed=asdict(fixed),
    )


def count_work(
    built: Built,
    case: Case,
    batch: Any,  # noqa: ANN401  # a batch is anything
) -> tuple[dict[str, Any], int | None]:
    """The run directory's `work`, and what autograd keeps of a forward pass of the case, bytes.

    Operators are counted on the eager model, since compiled code shows none; what is kept is the
    case's own.
    """
    training = built.training
    ready = placed(batch, training.placement)
    inputs, target = training.split(ready)
    own = [*built.model.parameters(), *built.model.buffers(), *tensors((inputs, target))]
    eager = replace(training, model=built.model)
    try:
        counted = work.count(_watched(eager, ready, case), own, backward=case.trains)
    except Exception as error:  # noqa: BLE001  # any operator of the user's model may refuse a mode
        reason = " ".join(f"its operators could not be counted: {error!r}".split())
        return {"flops": None, "bytes": None, "operators": None, "reason": reason}, None
    saved_bytes = counted.saved_bytes
    if case.compile != "off" and case.trains:
        saved_bytes = work.saved_bytes(_watched(training, ready, case), own)
    facts = {"flops": counted.flops, "bytes": counted.bytes, "operators": counted.operators}
    return {**facts, "reason": None}, saved_bytes


def _watched(training: Training, ready: Any, case: Case) -> work.Step:  # noqa: ANN401  # a batch
    """One step of a training on a batch in place, its forward passes watched; no optimizer's."""

    def step(saving: work.Saving) -> None:
        own = training.step
        if case.trains and own is not None:
            own(cycle.StillStep(training, ready, saving))
            return
        inputs, target = training.split(ready)
        with saving():
            loss = cycle.forward(training, inputs, target)
        if case.trains:
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    return step


def tensors(batch: Any) -> list[Tensor]:  # noqa: ANN401  # a batch is anything
    """The tensors in a batch."""
    return [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)]


def fixed_of(
    subject: Subject,
    watch: Watch,
    case: Case,
    batch: Any,  # noqa: ANN401  # a batch is anything
    laps: Laps,
) -> Fixed:
    """The fixed cost of a case's step, or why it cannot be had."""
    if case.compile != "off":
        return unknown("another batch size would be compiled anew")
    track = laps.device or laps.host
    medians = {
        str(phase): float(np.median(track[phase])) / case.accumulate
        for phase in (Phase.FORWARD, Phase.BACKWARD)
        if phase in track
    }
    found, calm = undisturbed(watch, lambda: fixed_cost(subject, batch, case.batch_size, medians))
    return found if calm else unknown("other processes kept the machine busy")


def data_facts(built: Built) -> dict[str, Any]:
    """What the case trained on."""
    source = built.workload.data
    return {
        "name": type(built.dataset).__name__ if source is None else source.name,
        "origin": "user" if source is None else source.origin,
        "length": built.length,
    }


def model_facts(built: Built) -> dict[str, Any]:
    """What was trained."""
    total, trainable = cycle.parameter_count(built.model)
    return {"name": type(built.model).__name__, "parameters": total, "trainable": trainable}


def clock_facts(clock: Device) -> dict[str, Any]:
    """What laps were read from."""
    return {
        "name": clock.clock_name,
        "resolution_s": time.get_clock_info("perf_counter").resolution,
    }


def with_phases(laps: Mapping[str, Any] | None, case: Case) -> Mapping[str, Any] | None:
    """Laps with all phases of a case: 0 for one that its steps, the workload's own, never end."""
    if laps is None:
        return None
    names = [str(phase) for phase in phases.of(case.loop, case.device)]
    return {**{name: np.zeros_like(laps[phases.STEP]) for name in names}, **laps}


def lists(laps: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Arrays as lists, for JSON."""
    return None if laps is None else {name: values.tolist() for name, values in laps.items()}
