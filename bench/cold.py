"""What compiling costs from an empty cache, in a process of its own.

The cases that compile the same share what it leaves in the cache, and start from there.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import repeat

from bench import batches, compilation, cycle
from bench.build import build
from bench.clock import device_clock
from bench.measurement import ColdStart
from bench.request import Request


def compile_cold(report: Callable[[str], None], request: Request) -> ColdStart:
    """Takes a case's first step in this process, with an empty cache.

    Raises:
        UsageError: The case asks for something that is not there.
        UnsupportedError: This machine cannot run it.
    """
    report("building")
    built = build(request)
    case = request.case
    loader = batches.make_loader(
        built.workload, built.dataset, case.compiled_as, request.settings.seed
    )
    clock = device_clock(built.training.device)
    stream = iter(loader)
    batch = next(stream)
    report("compiling with an empty cache")
    clock.synchronize()
    began = time.perf_counter()
    cycle.LOOPS[case.loop](replace(built.training, accumulate=1), repeat(batch), 1)
    clock.synchronize()
    first_step_s = time.perf_counter() - began
    told = compilation.facts(case.compile) or {}
    return ColdStart(told.get("compile_s", 0.0), first_step_s)
