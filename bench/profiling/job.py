"""Profiles a case in a process of its own: a trace, its breakdown, and what TensorBoard shows.

The curves' training comes first, from the weights that every case starts with; it is the trace's
warm-up as well. Nothing that comes out of here is a timing that a report compares cases by.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from bench import batches, phases
from bench.build import Built
from bench.profiling import board, chrome_trace, learning, snapshot, trace, workers
from bench.profiling.apart import apart
from bench.profiling.breakdown import breakdown
from bench.profiling.marks import PhaseMarks
from bench.profiling.profile import Profile
from bench.request import ProfileRequest
from bench.working import working


def profile(report: Callable[[str], None], asked: ProfileRequest) -> Profile:
    """Profiles a case; writes its trace and TensorBoard's directory.

    Args:
        report: Is told in a word what is being done.
        asked: What to profile, and where to write.

    Raises:
        UsageError: The case asks for something that is not there.
        UnsupportedError: This machine cannot run it.
    """
    began = time.perf_counter()
    request, case = asked.request, asked.request.case
    report("building")
    if case.compile != "off" and case.device == "cpu":
        trace.name_compiled_kernels()
    begun = working(request)
    built, source, subject = begun.built, begun.source, begun.subject
    scratch = asked.scratch / case.id
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "board").mkdir(parents=True)

    batch = next(source.batches)
    left_out: dict[str, str] = {}
    curves = None
    if case.trains:
        with apart("curves", left_out):
            curves = learning.learn(built, source.batches, report)
    report("tracing")
    of_step = phases.of(case.loop, case.device)
    marks = PhaseMarks(subject.laps(), trace.WARMUP + asked.profiling.steps)
    exported = scratch / "trace.json"
    trace.take(subject, marks, asked.profiling.steps, asked.profiling, exported)
    content = {**chrome_trace.read(exported), "traceName": case.id}
    trace_bytes = chrome_trace.write(content, asked.trace)
    shown_as = f"{case.device.replace(':', '')}.{time.time_ns()}{chrome_trace.SUFFIX}"
    chrome_trace.write(
        chrome_trace.for_tensorboard(content), scratch / "board" / "profile" / shown_as
    )
    found = breakdown(content["traceEvents"], [str(phase) for phase in of_step])

    snapshot_bytes, watched, shown = None, None, None
    if asked.profiling.memory_snapshot and built.training.device.type == "cuda":
        report("recording allocations")
        with apart("memory snapshot", left_out):
            steps = asked.profiling.steps
            snapshot_bytes = snapshot.take(lambda: subject.run(steps), asked.snapshot)
    report("writing for TensorBoard")
    with apart("test samples", left_out):
        shown = learning.show(built)
    left_out |= board.write(
        board.Content(built, batch, curves, shown, asked.figures), scratch / "board"
    )
    if asked.profiling.workers:  # last, for it changes the data set
        report("watching the loader's workers")
        with apart("loader workers", left_out):
            watched = watch_workers(built, asked)
    board_bytes = _size(scratch / "board")
    _put(scratch / "board", asked.board)
    shutil.rmtree(scratch, ignore_errors=True)
    return Profile(
        trace={"bytes": trace_bytes, "events": len(content["traceEvents"])},
        board={"bytes": board_bytes, "left_out": left_out},
        breakdown=asdict(found),
        curves=None if curves is None else asdict(curves),
        workers=None if watched is None else tuple(asdict(worker) for worker in watched),
        snapshot_bytes=snapshot_bytes,
        elapsed_s=time.perf_counter() - began,
    )


def watch_workers(built: Built, asked: ProfileRequest) -> tuple[workers.Worker, ...]:
    """What the loader's workers spend their time on, in a loader of timed parts."""
    request = asked.request
    workers.time_transforms(built.dataset)
    loader = batches.make_loader(
        built.workload,
        workers.timed(built.dataset),
        request.case,
        request.settings.seed,
        workers.TimedCollation(built.workload.collate),
    )
    return workers.watch(loader)


def _put(made: Path, place: Path) -> None:
    """Puts a complete directory where TensorBoard looks, in the place of an older one."""
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    made.replace(place)


def _size(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
