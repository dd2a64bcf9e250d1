"""`torch.compile`: options, the cache of compiled code, and facts about the compilations."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stepbench.config.case import Case
from stepbench.devices.kinds import kind_of
from stepbench.errors import UnsupportedError, UsageError
from stepbench_reports.schema.compilation import Compilation, Occurrence

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
TRITON_CACHE_VARIABLE = "TRITON_CACHE_DIR"
MAX_COMPILATIONS = 4096
"""The number of latest compilations that torch records; the count of graphs has no limit."""
DYNAMIC = {"auto": None, "on": True, "off": False}


def use_cache(directory: Path) -> None:
    """Sets the directory in which Inductor and Triton cache compiled code.

    Directories that the user has named in the variables are not used: they may already hold
    compiled code, and a warm compilation would pass for a cold one.
    """
    os.environ[CACHE_VARIABLE] = str(directory)
    os.environ[TRITON_CACHE_VARIABLE] = str(directory / "triton")


def compile_model(model: nn.Module, case: Case) -> Callable[..., Any]:
    """Compiles the model as the case says; returns it uncompiled if `case.compile` is `off`.

    Args:
        model: The model, on its device.
        case: The case, with the options of the compilation.

    Raises:
        UsageError: Torch does not know the backend.
        UnsupportedError: This machine lacks what the compiler needs, or CUDA graphs would
            overwrite the gradients that the case accumulates.
    """
    if case.compile == "off":
        return model
    if case.overwrites_gradients:
        raise UnsupportedError(
            "accumulate",
            f"with --compile {case.compile}, torch replays CUDA graphs, which overwrite gradients "
            "that are accumulated over several batches (pytorch issues 169545 and 96693); use "
            "--compile default or max-autotune-no-cudagraphs, or --accumulate 1",
        )
    torch._dynamo.utils.set_compilation_metrics_limit(MAX_COMPILATIONS)
    kind, _, backend = case.compile.partition(":")
    if kind == "backend":
        backends = torch._dynamo.list_backends(exclude_tags=())
        if backend not in backends:
            raise UsageError(
                f"--compile {case.compile}: torch has no such backend; use one of "
                f"{', '.join(backends)}"
            )
    if case.has_compile_cache:
        kind_of(case.device).require_compiler()
    dynamic = DYNAMIC[case.dynamic]
    if kind == "backend":
        return torch.compile(model, backend=backend, dynamic=dynamic)
    return torch.compile(model, mode=case.compile, dynamic=dynamic)


def count() -> int:
    """Returns the number of graphs that this process has compiled so far."""
    dynamo = sys.modules.get("torch._dynamo.utils")
    return 0 if dynamo is None else int(dynamo.counters["stats"]["unique_graphs"])


def end_workers() -> None:
    """Ends the processes in which Inductor compiles, if there are any.

    They are idle after a compilation, but hold memory, and while they start they use the processor.
    A later compilation starts new ones.
    """
    async_compile = sys.modules.get("torch._inductor.async_compile")
    if async_compile is not None:  # else Inductor has compiled nothing in this process
        async_compile.shutdown_compile_workers()


def facts(case: Case) -> Compilation | None:
    """Sums up the compilations of a case's process, by torch's counters; times are in seconds."""
    if case.compile == "off":
        return None
    from torch._dynamo import utils  # noqa: PLC0415  # slow to import

    counters = utils.counters
    recompilations = _recompilations(utils.get_compilation_metrics())
    kind, _, backend = case.compile.partition(":")
    skips = counters["inductor"]["cudagraph_skips"] if case.uses_cuda_graphs else None
    return Compilation(
        backend=backend if kind == "backend" else "inductor",
        mode=None if kind == "backend" else case.compile,
        graphs=counters["stats"]["unique_graphs"],
        graph_breaks=sum(counters["graph_break"].values()),
        recompiles=sum(occurrence.count for occurrence in recompilations),
        compile_s=utils.calculate_time_spent().get("total_wall_time", 0.0),
        breaks=_graph_breaks(utils.graph_break_reasons),
        recompiled=recompilations,
        cuda_graph_skips=skips,
    )


def _graph_breaks(reasons: Iterable[Any]) -> tuple[Occurrence, ...]:
    """Counts graph breaks by reason and source line."""
    counts: Counter[tuple[str, str | None]] = Counter(
        (_single_line(reason.reason), _location(reason.user_stack))
        for reason in reasons
        if getattr(reason, "graph_break", True)
    )
    return _occurrences(counts)


def _recompilations(metrics: Iterable[Any]) -> tuple[Occurrence, ...]:
    """Counts recompilations by reason and function."""
    metrics = list(metrics)
    if all(hasattr(metric, "recompile_reason") for metric in metrics):
        reasons: Iterable[str | None] = (metric.recompile_reason for metric in metrics)
    else:
        reasons = _reasons_from_guards(metrics)
    counts: Counter[tuple[str, str | None]] = Counter(
        (_single_line(reason), _function(metric))
        for metric, reason in zip(metrics, reasons, strict=True)
        if reason
    )
    return _occurrences(counts)


def _reasons_from_guards(metrics: Iterable[Any]) -> Iterator[str | None]:
    """Yields the reason of each recompilation, and `None` for each first compilation.

    Torch 2.6 keeps reasons by code object: at a recompilation, one for each earlier version of the
    code, the latest version first.
    """
    from torch._dynamo import utils  # noqa: PLC0415  # slow to import

    failures = {
        f"{code.co_filename}:{code.co_firstlineno} in {code.co_name}": iter(reasons)
        for code, reasons in utils.guard_failures.items()
    }
    for metric in metrics:
        versions = metric.accumulated_cache_size or 0
        reasons = list(islice(failures.get(_function(metric), iter(())), versions))
        first = reasons[0] if reasons else "torch kept no reason"
        yield first if versions else None


def _function(metric: Any) -> str:  # noqa: ANN401  # torch's facts of a compilation
    return f"{metric.co_filename}:{metric.co_firstlineno} in {metric.co_name}"


def _occurrences(counts: Counter[tuple[str, str | None]]) -> tuple[Occurrence, ...]:
    return tuple(
        Occurrence(reason=reason, where=where, count=count)
        for (reason, where), count in counts.items()
    )


def _single_line(text: object) -> str:
    return " ".join(str(text).split())


def _location(stack: Any) -> str | None:  # noqa: ANN401  # torch's summary of a stack
    if not stack:
        return None
    frame = stack[-1]
    return f"{frame.filename}:{frame.lineno} in {frame.name}"
