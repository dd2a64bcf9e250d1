"""Collects a side's operators by phase from a short trace. Runs in the side's process."""

from collections.abc import Callable

from stepbench.measurement.active_case import start_case
from stepbench.profiling import chrome_trace, trace
from stepbench.profiling.breakdown import breakdown
from stepbench.profiling.phase_marks import PhaseMarks
from stepbench.regression.pair import TraceRequest
from stepbench_reports.schema import phases
from stepbench_reports.schema.profile import Breakdown
from stepbench_reports.schema.run import ProfilingOptions

STEPS = 10
"""The number of traced steps. The first steps are slower than the rest."""


def operators(report: Callable[[str], None], trace_request: TraceRequest) -> Breakdown:
    """Traces `STEPS` steps, and returns their operators by phase.

    Args:
        report: Called with a few words on the current activity.
        trace_request: The trace to take.
    """
    request, case = trace_request.request, trace_request.request.case
    if case.compile != "off" and case.device == "cpu":
        trace.name_compiled_kernels()
    loop = start_case(request, report).timed_loop
    step_phases = phases.phases_of(case.loop, case.device)
    report("tracing")
    loop.run(trace.WARMUP)
    trace_request.scratch.mkdir(parents=True, exist_ok=True)
    marks = PhaseMarks(loop.step_phases(), trace.WARMUP + STEPS)
    trace_file = trace_request.scratch / "trace.json"
    trace.take(loop, marks, ProfilingOptions(steps=STEPS), trace_file)
    trace_content = chrome_trace.read(trace_file)
    return breakdown(trace_content["traceEvents"], [str(phase) for phase in step_phases])
