"""The cost of compiling from an empty cache, in a process of its own.

The cases that compile the same share what it leaves in the cache, and start from there.
"""

from collections.abc import Callable
from dataclasses import replace

from stepbench.config.requests import Request
from stepbench.measurement.active_case import start_case
from stepbench.measurement.subject import Repeated
from stepbench.training import compilation
from stepbench_reports.schema.compilation import ColdStart


def compile_cold(report: Callable[[str], None], request: Request) -> ColdStart:
    """Takes a case's first step in this process, with an empty cache.

    How batches are loaded makes no difference to a compiler, so one is loaded in this process.

    Args:
        report: Takes a few words on what is being done.
        request: What to compile.

    Raises:
        UsageError: The case asks for something that is not there.
        UnsupportedError: This machine cannot run it.
    """
    active = start_case(replace(request, case=request.case.numerics_key), report)
    one_batch = replace(
        active.subject,
        training=replace(active.built.training, accumulate=1),
        source=Repeated(next(active.source.batches)),
    )
    report("compiling with an empty cache")
    first_step_s = one_batch.bare(1).elapsed_s
    compiled = compilation.facts(request.case.compile)
    return ColdStart(
        compile_s=0.0 if compiled is None else compiled.compile_s, first_step_s=first_step_s
    )
