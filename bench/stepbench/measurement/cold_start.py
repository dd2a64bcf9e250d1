"""Measures the cost of compiling from an empty cache, in a separate process.

Cases that compile the same code share the filled cache, and start from it.
"""

from collections.abc import Callable
from dataclasses import replace

from stepbench.config.requests import Request
from stepbench.measurement.active_case import start_case
from stepbench.measurement.timed_loop import RepeatedBatch
from stepbench.training import compilation
from stepbench_reports.schema.compilation import ColdStart


def compile_cold(report: Callable[[str], None], request: Request) -> ColdStart:
    """Takes a case's first step in this process, with an empty cache.

    The case that is run represents all cases that share the cache: it takes one batch a step, which
    it loads in this process, and the workload's own optimizer, which is not compiled.

    Args:
        report: Called with a short progress message.
        request: The case to compile, with its settings.

    Raises:
        UsageError: The case names something that does not exist.
        UnsupportedError: This machine cannot run the case.
    """
    case = request.case.compile_key
    active = start_case(replace(request, case=case), report)
    one_batch = replace(active.timed_loop, source=RepeatedBatch(next(active.source.batches)))
    report("compiling with an empty cache")
    first_step_s = one_batch.bare(1).elapsed_s
    compiled = compilation.facts(case)
    return ColdStart(
        compile_s=0.0 if compiled is None else compiled.compile_s, first_step_s=first_step_s
    )
