"""What a side's steps consist of: operators by phase, from a short trace. Runs as a side."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from bench import phases
from bench.profiling import chrome_trace, trace
from bench.profiling.breakdown import breakdown
from bench.profiling.marks import PhaseMarks
from bench.regression.pair import Tracing
from bench.request import Profiling
from bench.working import working

STEPS = 10
"""How many steps are traced: the first ones are slower than the others."""


def operators(report: Callable[[str], None], asked: Tracing) -> dict[str, Any]:
    """Operators by phase, over `STEPS` steps: the fields of a `Breakdown`.

    Args:
        report: Is told in a word what is being done.
        asked: What to trace.
    """
    request, case = asked.request, asked.request.case
    report("building")
    if case.compile != "off" and case.device == "cpu":
        trace.name_compiled_kernels()
    subject = working(request).subject
    of_step = phases.of(case.loop, case.device)
    report("tracing")
    subject.run(trace.WARMUP)
    asked.scratch.mkdir(parents=True, exist_ok=True)
    marks = PhaseMarks(subject.laps(), trace.WARMUP + STEPS)
    exported = asked.scratch / "trace.json"
    trace.take(subject, marks, STEPS, Profiling(steps=STEPS), exported)
    content = chrome_trace.read(exported)
    return asdict(breakdown(content["traceEvents"], [str(phase) for phase in of_step]))
