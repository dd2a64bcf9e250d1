"""Collects a side's operators by phase from a short trace. Runs in the side's process."""

from collections.abc import Callable

from stepbench.measurement.active_case import start_case
from stepbench.profiling import chrome_trace, trace
from stepbench.profiling.breakdown import breakdown
from stepbench.profiling.marks import PhaseMarks
from stepbench.regression.pair import Tracing
from stepbench_reports.schema import phases
from stepbench_reports.schema.profile import Breakdown
from stepbench_reports.schema.run import ProfilingOptions

STEPS = 10
"""The number of traced steps. The first steps are slower than the rest."""


def operators(report: Callable[[str], None], asked: Tracing) -> Breakdown:
    """Traces `STEPS` steps, and returns their operators by phase.

    Args:
        report: Called with a few words on the current activity.
        asked: The trace to take.
    """
    request, case = asked.request, asked.request.case
    if case.compile != "off" and case.device == "cpu":
        trace.name_compiled_kernels()
    subject = start_case(request, report).subject
    of_step = phases.phases_of(case.loop, case.device)
    report("tracing")
    subject.run(trace.WARMUP)
    asked.scratch.mkdir(parents=True, exist_ok=True)
    marks = PhaseMarks(subject.laps(), trace.WARMUP + STEPS)
    exported = asked.scratch / "trace.json"
    trace.take(subject, marks, ProfilingOptions(steps=STEPS), exported)
    content = chrome_trace.read(exported)
    return breakdown(content["traceEvents"], [str(phase) for phase in of_step])
