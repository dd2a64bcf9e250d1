"""One case, from build to findings: warm up, sample until precise, stop.

Runs in the case's own child process. The order matters: what is slow once (the loader's start, the
first step with its compilation) is timed by itself; warm-up goes on until steps have settled; then
blocks alternate, lapped and bare, until the median step is known well enough.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from bench import batches, compilation, devices, memory, precision
from bench.case import Case
from bench.clock import Device, Laps, LapTimer, device_clock
from bench.cycle import Training, parameter_count, train
from bench.errors import UsageError
from bench.measurement import Block, Findings
from bench.phases import STEP
from bench.request import Request, Sampling
from bench.workload import Workload, load
from reports.stats import median_interval

BLOCK_S = 0.2
"""How long a block lasts at least."""
BLOCK_STEPS = 5
"""How many steps a block has at least."""
BLOCK_PREFETCHES = 8
"""How many times what the loader keeps ready a block consumes at least, time allowing."""
LEAST_BLOCKS = 6
"""How many blocks are measured at least, half of them lapped, unless the time is up."""
LEAST_STEPS = 30
"""How many lapped steps an interval is believed from."""
WARMUP_WINDOW_S = 0.1
"""How long a window of warm-up lasts at least."""
WARMUP_SETTLED = 0.05
"""Warm-up has settled once a window's median step is no more than this below the last one's."""
WARMUP_SHARE = 0.5
"""Warm-up ends, settled or not, after this share of the time for sampling."""
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
    devices.check(case.device)
    devices.check_precision(case.precision, case.device)
    seed_everything(request.seed)
    compilation.use_cache(request.compile_cache)
    workload = load(case.workload, request.data)
    model, training = build(workload, case)
    dataset = workload.dataset()
    length = batches.length_of(dataset, case.workload)
    refuse_large_batch(case, length)
    loader = batches.make_loader(workload, dataset, case, request.seed)
    clock = device_clock(training.device)

    report("starting the loader" if case.num_workers else "loading")
    began = time.perf_counter()
    stream: Iterator[Any] = iter(loader)
    first_batch = next(stream)
    loader_start_s = time.perf_counter() - began
    stream = chain([first_batch], stream)

    report("first step" if case.compile == "off" else "compiling")
    first_step_s = timed(training, stream, 1, clock).elapsed_s
    report("warming up")
    warmup = warm_up(training, stream, clock, request.sampling)
    memory_at_warmup = memory.device_peak(training.device)
    memory.reset_device_peak(training.device)
    report("sampling")
    samples = sample(
        training,
        stream,
        clock,
        request.sampling,
        prefetched=batches.prefetched(loader),
        step_s=warmup["step_s"],
    )
    device_peak = memory.device_peak(training.device)
    report("watching memory")
    with memory.HostPeak() as host:
        train(training, stream, max(1, round(MEMORY_PASS_S / warmup["step_s"])))
        clock.synchronize()
    total, trainable = parameter_count(model)
    return Findings(
        data=data_facts(workload, dataset, length),
        model={"name": type(model).__name__, "parameters": total, "trainable": trainable},
        settings=settings(request.seed),
        clock={
            "name": clock.clock_name,
            "resolution_s": time.get_clock_info("perf_counter").resolution,
        },
        phases=tuple(str(phase) for phase in training.phases),
        laps={"host": lists(samples.laps.host), "device": lists(samples.laps.device)},
        blocks=samples.blocks,
        sampling=samples.facts,
        warmup=warmup,
        first_step_s=first_step_s,
        loader_start_s=loader_start_s,
        compile=compilation.facts(case.compile),
        memory={
            "host_peak_bytes": host.peak_bytes,
            **device_peak,
            "warmup": memory_at_warmup,
        },
    )


def seed_everything(seed: int) -> None:
    """Seeds every generator that a workload may draw from."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # the generator that users' transforms draw from
    torch.manual_seed(seed)


def build(workload: Workload, case: Case) -> tuple[nn.Module, Training]:
    """The workload's model, and all that a training step of the case needs."""
    device = torch.device(case.device)
    precision.apply(case.precision)
    model = workload.model().to(device).train()
    optimizer = workload.optimizer(model.parameters())
    return model, Training(
        model=compilation.compile_model(model, case.compile, device),
        loss=workload.loss,
        optimizer=optimizer,
        device=device,
        autocast=precision.autocast(case.precision, device),
        scaler=precision.scaler(case.precision, device),
    )


def refuse_large_batch(case: Case, length: int) -> None:
    """Raises a `UsageError` where the data set cannot fill one batch."""
    if case.batch_size > length:
        raise UsageError(
            f"--batch-size {case.batch_size}: the data set of --workload {case.workload} has "
            f"{length} items; give {length} or less"
        )


def timed(training: Training, stream: Iterator[Any], steps: int, clock: Device) -> Block:
    """A bare block."""
    clock.synchronize()
    began = time.perf_counter()
    train(training, stream, steps)
    clock.synchronize()
    return Block(kind="bare", steps=steps, elapsed_s=time.perf_counter() - began)


def timed_lapped(
    training: Training, stream: Iterator[Any], steps: int, clock: Device
) -> tuple[Block, Laps]:
    """A lapped block and its laps."""
    timer = LapTimer(clock)
    clock.synchronize()
    began = time.perf_counter()
    timer.begin()
    train(training, stream, steps, timer.lap, timer.end_step)
    clock.synchronize()
    elapsed_s = time.perf_counter() - began
    return Block(kind="lapped", steps=steps, elapsed_s=elapsed_s), timer.read()


def warm_up(
    training: Training, stream: Iterator[Any], clock: Device, sampling: Sampling
) -> dict[str, Any]:
    """Trains until steps have stopped getting faster, or the time for it is up.

    Steps run in windows. The rule looks at the last two: warm-up is over once the later one's mean
    step is less than `WARMUP_SETTLED` below the earlier one's.
    """
    began = time.perf_counter()
    steps, size = 0, 1
    earlier: float | None = None
    while True:
        window = timed(training, stream, size, clock)
        steps += size
        step_s = window.elapsed_s / size
        settled = earlier is not None and step_s > earlier * (1 - WARMUP_SETTLED)
        elapsed_s = time.perf_counter() - began
        if settled or elapsed_s > sampling.max_time_s * WARMUP_SHARE:
            break
        # The first window was a single step: from it, find how many fill a window.
        earlier = None if size == 1 and step_s < WARMUP_WINDOW_S else step_s
        size = max(size, min(4 * size + 4, round(WARMUP_WINDOW_S / step_s)), 1)
    return {"steps": steps, "elapsed_s": elapsed_s, "settled": settled, "step_s": step_s}


@dataclass(frozen=True)
class Samples:
    """What sampling gave: laps of all lapped blocks, one after the other, and why it stopped."""

    laps: Laps
    blocks: tuple[Block, ...]
    facts: dict[str, Any]


def sample(
    training: Training,
    stream: Iterator[Any],
    clock: Device,
    sampling: Sampling,
    *,
    prefetched: int,
    step_s: float,
) -> Samples:
    """Measures blocks, lapped and bare in turn, until the median step is precise.

    Args:
        training: What to train.
        stream: Batches without end.
        clock: The device's clock.
        sampling: How long.
        prefetched: How many batches the loader keeps ready. Each block trains on as many untimed
            first (though never longer than it lasts itself), so that it does not feed on what was
            prepared while nothing was measured.
        step_s: What a step takes, roughly.
    """
    began = time.perf_counter()
    size = block_size(sampling, prefetched, step_s)
    blocks: list[Block] = []
    laps: list[Laps] = []
    lapped = 0
    while True:
        train(training, stream, min(prefetched, size))
        if len(blocks) % 2 == 0:
            steps = size if sampling.steps is None else min(size, sampling.steps - lapped)
            block, block_laps = timed_lapped(training, stream, steps, clock)
            laps.append(block_laps)
            lapped += steps
        else:
            block = timed(training, stream, blocks[-1].steps, clock)
        blocks.append(block)
        elapsed_s = time.perf_counter() - began
        together = join(laps)
        rel_error = half_width(together)
        stopped = why_stop(sampling, rel_error, lapped, len(blocks), elapsed_s)
        if stopped is not None:
            facts = {
                "stopped": stopped,
                "rel_error": rel_error,
                "target": sampling.rel_error,
                "elapsed_s": elapsed_s,
            }
            return Samples(together, tuple(blocks), facts)


def block_size(sampling: Sampling, prefetched: int, step_s: float) -> int:
    """How many steps a block has.

    Enough for its time and its count, and for consuming many times what the loader keeps ready,
    unless that would leave too few blocks in the time there is.
    """
    wanted = max(BLOCK_STEPS, round(BLOCK_S / step_s), BLOCK_PREFETCHES * prefetched)
    if sampling.steps is not None:
        return max(1, min(wanted, sampling.steps))
    affordable = int(sampling.max_time_s / LEAST_BLOCKS / step_s) - prefetched
    return max(1, min(wanted, affordable))


def why_stop(
    sampling: Sampling, rel_error: float | None, lapped: int, blocks: int, elapsed_s: float
) -> str | None:
    """Why sampling is over: `steps`, `precise` or `time`; `None` while it is not."""
    if blocks % 2:  # a lapped block whose bare twin is still to come
        return None
    if sampling.steps is not None:
        return "steps" if lapped >= sampling.steps else None
    if (
        blocks >= LEAST_BLOCKS
        and lapped >= LEAST_STEPS
        and rel_error is not None
        and rel_error <= sampling.rel_error
    ):
        return "precise"
    return "time" if elapsed_s >= sampling.max_time_s else None


def half_width(laps: Laps) -> float | None:
    """Half the width of the median step's 95 % interval as a share of it; `None` if unknown."""
    steps = (laps.device or laps.host)[STEP]
    interval = median_interval(steps)
    if not np.isfinite(interval.low) or not np.isfinite(interval.high):
        return None
    return float((interval.high - interval.low) / 2 / interval.value)


def join(laps: list[Laps]) -> Laps:
    """The laps of several blocks, one after the other."""
    host = {name: np.concatenate([part.host[name] for part in laps]) for name in laps[0].host}
    if laps[0].device is None:
        return Laps(host, None)
    device = {
        name: np.concatenate([(part.device or {})[name] for part in laps])
        for name in laps[0].device
    }
    return Laps(host, device)


def lists(laps: dict[str, Any] | None) -> dict[str, list[float]] | None:
    """Arrays as lists, for JSON."""
    return None if laps is None else {name: values.tolist() for name, values in laps.items()}


def data_facts(workload: Workload, dataset: Dataset[Any], length: int) -> dict[str, Any]:
    """What the case trained on."""
    source = workload.data
    return {
        "name": type(dataset).__name__ if source is None else source.name,
        "origin": "user" if source is None else source.origin,
        "length": length,
    }


def settings(seed: int) -> dict[str, Any]:
    """What else bears upon the figures."""
    return {
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "seed": seed,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }
