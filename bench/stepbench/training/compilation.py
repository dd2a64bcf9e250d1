"""`torch.compile`: its options, the cache of its results, and facts of what was compiled."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stepbench.config.case import Case
from stepbench.devices.kinds import kind_of
from stepbench.errors import UsageError
from stepbench_reports.schema.compilation import Compilation, Occurrence

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
MOST_COMPILATIONS = 4096
"""How many compilations torch is to remember; more are counted, but not told one by one."""
DYNAMIC = {"auto": None, "on": True, "off": False}


def use_cache(directory: Path) -> None:
    """Has the compiler keep its results in a directory.

    One that the user has named is not used: who knows what it holds, and a cold compilation could
    not be told from a warm one.
    """
    os.environ[CACHE_VARIABLE] = str(directory)


def compile_model(model: nn.Module, case: Case) -> Callable[..., Any]:
    """The model as the case calls it.

    Args:
        model: On its device.
        case: Says how it is compiled.

    Raises:
        UsageError: The backend is not known to torch.
        UnsupportedError: This machine lacks what the compiler needs.
    """
    if case.compile == "off":
        return model
    torch._dynamo.utils.set_compilation_metrics_limit(MOST_COMPILATIONS)
    kind, _, backend = case.compile.partition(":")
    if kind == "backend":
        known = torch._dynamo.list_backends(exclude_tags=())
        if backend not in known:
            raise UsageError(
                f"--compile {case.compile}: torch knows no such backend; there are "
                f"{', '.join(known)}"
            )
    if case.has_compile_cache:
        kind_of(case.device).require_compiler()
    dynamic = DYNAMIC[case.dynamic]
    if kind == "backend":
        return torch.compile(model, backend=backend, dynamic=dynamic)
    return torch.compile(model, mode=case.compile, dynamic=dynamic)


def facts(compile: str) -> Compilation | None:  # noqa: A002  # the axis's name
    """The compilations so far in this process, by torch's own counters. Times in seconds."""
    if compile == "off":
        return None
    from torch._dynamo import utils  # noqa: PLC0415  # slow to import

    counters = utils.counters
    recompiled = _recompiled(utils.get_compilation_metrics())
    kind, _, backend = compile.partition(":")
    return Compilation(
        backend=backend if kind == "backend" else "inductor",
        mode=None if kind == "backend" else compile,
        graphs=counters["stats"]["unique_graphs"],
        graph_breaks=sum(counters["graph_break"].values()),
        recompiles=sum(each.count for each in recompiled),
        compile_s=utils.calculate_time_spent().get("total_wall_time", 0.0),
        breaks=_breaks(utils.graph_break_reasons),
        recompiled=recompiled,
    )


def _breaks(reasons: Iterable[Any]) -> tuple[Occurrence, ...]:
    """Graph breaks, those at one place and for one reason together."""
    found: Counter[tuple[str, str | None]] = Counter(
        (_line(reason.reason), _place(reason.user_stack))
        for reason in reasons
        if getattr(reason, "graph_break", True)
    )
    return _occurrences(found)


def _recompiled(metrics: Iterable[Any]) -> tuple[Occurrence, ...]:
    """Recompilations, those of one function and for one reason together."""
    found: Counter[tuple[str, str | None]] = Counter(
        (
            _line(metric.recompile_reason),
            f"{metric.co_filename}:{metric.co_firstlineno} in {metric.co_name}",
        )
        for metric in metrics
        if metric.recompile_reason
    )
    return _occurrences(found)


def _occurrences(counts: Counter[tuple[str, str | None]]) -> tuple[Occurrence, ...]:
    return tuple(
        Occurrence(reason=reason, where=where, count=count)
        for (reason, where), count in counts.items()
    )


def _line(text: object) -> str:
    return " ".join(str(text).split())


def _place(stack: Any) -> str | None:  # noqa: ANN401  # torch's own summary of a stack
    if not stack:
        return None
    frame = stack[-1]
    return f"{frame.filename}:{frame.lineno} in {frame.name}"
