"""Traces a side's operators by phase, and the lines that call them. Runs in the side's process."""

from collections.abc import Callable, Sequence
from pathlib import Path

from stepbench.measurement.active_case import start_case
from stepbench.measurement.timed_loop import TimedLoop
from stepbench.profiling import chrome_trace, trace
from stepbench.profiling.breakdown import breakdown
from stepbench.profiling.phase_marks import PhaseMarks
from stepbench.regression.side_requests import TraceRequest
from stepbench.regression.worker import call_lines
from stepbench_reports.schema import phases
from stepbench_reports.schema.check import OperatorsFact
from stepbench_reports.schema.profile import Breakdown
from stepbench_reports.schema.run import ProfilingOptions

STEPS = 10
"""The number of steps of a trace. The first steps are slower than the rest."""
TRACES = 3
"""The number of traces, of which the fastest counts: interference only makes a trace longer."""


def operators(report: Callable[[str], None], trace_request: TraceRequest) -> OperatorsFact:
    """Traces a side's steps; returns the operators by phase, and the lines that call them.

    Args:
        report: Called with a few words on the current activity.
        trace_request: The trace to take.
    """
    request, case = trace_request.request, trace_request.request.case
    if case.compile != "off" and case.device == "cpu":
        trace.name_compiled_kernels()
    loop = start_case(request, report).timed_loop
    report("tracing")
    loop.run(trace.WARMUP)
    trace_request.scratch.mkdir(parents=True, exist_ok=True)
    step_phases = [str(phase) for phase in phases.phases_of(case.loop, case.device)]
    breakdowns = [_breakdown(loop, step_phases, trace_request.scratch) for _ in range(TRACES)]
    report("tracing lines")
    lines = call_lines.trace(loop, trace_request.tree)
    return OperatorsFact(
        case=trace_request.case,
        side=trace_request.tree.side,
        breakdown=min(breakdowns, key=lambda breakdown: breakdown.step_s),
        lines=lines.lines,
        files=lines.files,
    )


def _breakdown(loop: TimedLoop, step_phases: Sequence[str], scratch: Path) -> Breakdown:
    """Traces `STEPS` steps, and breaks them down into operators."""
    marks = PhaseMarks(loop.step_phases(), trace.WARMUP + STEPS)
    file = scratch / "trace.json"
    trace.take(loop, marks, ProfilingOptions(steps=STEPS), file)
    return breakdown(chrome_trace.read(file)["traceEvents"], step_phases)
