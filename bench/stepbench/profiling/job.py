"""Profiles a case in a separate process: a trace, its breakdown, and what TensorBoard shows.

Training for the curves comes first, from the weights that every case starts with, and also warms up
the trace. Reports do not compare cases by any timing that is taken here.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stepbench.config.requests import ProfileRequest
from stepbench.devices.kinds import kind_of
from stepbench.measurement.active_case import ActiveCase, start_case
from stepbench.profiling import (
    chrome_trace,
    learning_curve,
    snapshot,
    tensorboard_logs,
    trace,
    workers,
)
from stepbench.profiling.breakdown import breakdown
from stepbench.profiling.optional_part import optional_part
from stepbench.profiling.phase_marks import PhaseMarks
from stepbench.training import dataloader
from stepbench.training.build import Built
from stepbench_reports.schema import phases
from stepbench_reports.schema.files import TRACE_SUFFIX
from stepbench_reports.schema.profile import (
    BoardFacts,
    Breakdown,
    ProfileFindings,
    TraceFacts,
    WorkerFacts,
)


def profile(report: Callable[[str], None], request: ProfileRequest) -> ProfileFindings:
    """Profiles a case; writes its trace and TensorBoard's directory.

    Args:
        report: Called with a few words on the current activity.
        request: The case to profile, and the paths to write to.

    Raises:
        UsageError: The case asks for something that does not exist.
        UnsupportedError: This machine cannot run the case.
    """
    began = time.perf_counter()
    case = request.request.case
    if case.compile != "off" and case.device == "cpu":
        trace.name_compiled_kernels()
    active = start_case(request.request, report)
    scratch = request.scratch / case.id
    tensorboard = scratch / "tensorboard"
    shutil.rmtree(scratch, ignore_errors=True)
    tensorboard.mkdir(parents=True)

    batch = next(active.source.batches)
    left_out: dict[str, str] = {}
    curves, snapshot_bytes, samples, worker_facts = None, None, None, None
    if case.trains:
        with optional_part("curves", left_out):
            curves = learning_curve.train(active.built, active.source.batches, report)
    traced = _take_trace(report, request, active, scratch)
    with optional_part("memory snapshot", left_out):
        snapshot_bytes = _take_snapshot(report, request, active)
    report("writing TensorBoard logs")
    with optional_part("test samples", left_out):
        samples = learning_curve.sample_outputs(active.built)
    content = tensorboard_logs.Content(active.built, batch, curves, samples, request.figures)
    left_out |= tensorboard_logs.write(content, tensorboard)
    with optional_part("loader workers", left_out):
        worker_facts = _time_workers(report, request, active.built)
    tensorboard_bytes = _size_bytes(tensorboard)
    _replace_directory(tensorboard, request.tensorboard)
    shutil.rmtree(scratch, ignore_errors=True)
    return ProfileFindings(
        trace=traced.facts,
        board=BoardFacts(bytes=tensorboard_bytes, left_out=left_out),
        breakdown=traced.breakdown,
        curves=curves,
        workers=worker_facts,
        snapshot_bytes=snapshot_bytes,
        elapsed_s=time.perf_counter() - began,
    )


@dataclass(frozen=True)
class _Traced:
    """The facts and breakdown of a trace that was written.

    Attributes:
        facts: The size of the trace's file, bytes, and the number of its events.
        breakdown: The trace's operators by phase.
    """

    facts: TraceFacts
    breakdown: Breakdown


def _take_trace(
    report: Callable[[str], None], request: ProfileRequest, active: ActiveCase, scratch: Path
) -> _Traced:
    """Traces some steps; writes the trace, and a version for TensorBoard beneath `scratch`."""
    case, timed_loop = request.request.case, active.timed_loop
    report("tracing")
    marks = PhaseMarks(timed_loop.step_phases(), trace.WARMUP + request.profiling.steps)
    exported = scratch / "trace.json"
    trace.take(timed_loop, marks, request.profiling, exported)
    content = {**chrome_trace.read(exported), "traceName": case.id}
    events = content["traceEvents"]
    trace_bytes = chrome_trace.write(content, request.trace)
    name = f"{case.device.replace(':', '')}.{time.time_ns()}{TRACE_SUFFIX}"
    chrome_trace.write(
        chrome_trace.for_tensorboard(content), scratch / "tensorboard" / "profile" / name
    )
    facts = TraceFacts(bytes=trace_bytes, events=len(events))
    phase_names = [str(phase) for phase in phases.phases_of(case.loop, case.device)]
    return _Traced(facts, breakdown(events, phase_names))


def _take_snapshot(
    report: Callable[[str], None], request: ProfileRequest, active: ActiveCase
) -> int | None:
    """Takes a memory snapshot, if requested and supported; returns the snapshot's size, bytes."""
    records = kind_of(request.request.case.device).records_allocations
    if not (request.profiling.memory_snapshot and records):
        return None
    report("recording allocations")
    return snapshot.take(lambda: active.timed_loop.run(request.profiling.steps), request.snapshot)


def _time_workers(
    report: Callable[[str], None], request: ProfileRequest, built: Built
) -> tuple[WorkerFacts, ...] | None:
    """Times the loader's workers, if requested and there are some, in a loader of timed parts.

    The data set's transforms are replaced, so this comes last.
    """
    if not request.profiling.workers or built.workload.batches is not None:
        return None
    report("timing the loader's workers")
    workers.time_transforms(built.dataset)
    loader = dataloader.make_loader(
        built.workload,
        workers.time_items(built.dataset),
        request.request.case,
        request.request.settings.seed,
        workers.TimedCollation(built.workload.collate),
    )
    return workers.time_workers(loader)


def _replace_directory(source: Path, target: Path) -> None:
    """Moves a complete directory to where TensorBoard looks; replaces an older one."""
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def _size_bytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
