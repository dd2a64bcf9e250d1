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
from stepbench.profiling import board, chrome_trace, learning, snapshot, trace, workers
from stepbench.profiling.apart import apart
from stepbench.profiling.breakdown import breakdown
from stepbench.profiling.marks import PhaseMarks
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


def profile(report: Callable[[str], None], asked: ProfileRequest) -> ProfileFindings:
    """Profiles a case; writes its trace and TensorBoard's directory.

    Args:
        report: Takes a few words on what is being done.
        asked: The case to profile, and the places to write to.

    Raises:
        UsageError: The case asks for something that does not exist.
        UnsupportedError: This machine cannot run the case.
    """
    began = time.perf_counter()
    request, case = asked.request, asked.request.case
    if case.compile != "off" and case.device == "cpu":
        trace.name_compiled_kernels()
    active = start_case(request, report)
    scratch = asked.scratch / case.id
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "board").mkdir(parents=True)

    batch = next(active.source.batches)
    left_out: dict[str, str] = {}
    curves, snapshot_bytes, shown, watched = None, None, None, None
    if case.trains:
        with apart("curves", left_out):
            curves = learning.learn(active.built, active.source.batches, report)
    traced = _take_trace(report, asked, active, scratch)
    with apart("memory snapshot", left_out):
        snapshot_bytes = _take_snapshot(report, asked, active)
    report("writing for TensorBoard")
    with apart("test samples", left_out):
        shown = learning.show(active.built)
    content = board.Content(active.built, batch, curves, shown, asked.figures)
    left_out |= board.write(content, scratch / "board")
    with apart("loader workers", left_out):
        watched = _watch_workers(report, asked, active.built)
    board_bytes = _size(scratch / "board")
    _put(scratch / "board", asked.board)
    shutil.rmtree(scratch, ignore_errors=True)
    return ProfileFindings(
        trace=traced.facts,
        board=BoardFacts(bytes=board_bytes, left_out=left_out),
        breakdown=traced.breakdown,
        curves=curves,
        workers=watched,
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
    report: Callable[[str], None], asked: ProfileRequest, active: ActiveCase, scratch: Path
) -> _Traced:
    """Traces some steps; writes the trace, and a version for TensorBoard beneath `scratch`."""
    case, subject = asked.request.case, active.subject
    report("tracing")
    of_step = phases.phases_of(case.loop, case.device)
    marks = PhaseMarks(subject.laps(), trace.WARMUP + asked.profiling.steps)
    exported = scratch / "trace.json"
    trace.take(subject, marks, asked.profiling, exported)
    content = {**chrome_trace.read(exported), "traceName": case.id}
    events = content["traceEvents"]
    trace_bytes = chrome_trace.write(content, asked.trace)
    shown_as = f"{case.device.replace(':', '')}.{time.time_ns()}{TRACE_SUFFIX}"
    chrome_trace.write(
        chrome_trace.for_tensorboard(content), scratch / "board" / "profile" / shown_as
    )
    facts = TraceFacts(bytes=trace_bytes, events=len(events))
    return _Traced(facts, breakdown(events, [str(phase) for phase in of_step]))


def _take_snapshot(
    report: Callable[[str], None], asked: ProfileRequest, active: ActiveCase
) -> int | None:
    """Takes a memory snapshot, if requested and supported; returns the snapshot's size, bytes."""
    records = kind_of(asked.request.case.device).records_allocations
    if not (asked.profiling.memory_snapshot and records):
        return None
    report("recording allocations")
    return snapshot.take(lambda: active.subject.run(asked.profiling.steps), asked.snapshot)


def _watch_workers(
    report: Callable[[str], None], asked: ProfileRequest, built: Built
) -> tuple[WorkerFacts, ...] | None:
    """Times the loader's workers, if requested, in a loader of timed parts.

    The data set's transforms are replaced, so this comes last.
    """
    if not asked.profiling.workers:
        return None
    report("watching the loader's workers")
    workers.time_transforms(built.dataset)
    loader = dataloader.make_loader(
        built.workload,
        workers.timed(built.dataset),
        asked.request.case,
        asked.request.settings.seed,
        workers.TimedCollation(built.workload.collate),
    )
    return workers.watch(loader)


def _put(made: Path, place: Path) -> None:
    """Moves a complete directory to where TensorBoard looks; replaces an older one."""
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    made.replace(place)


def _size(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
