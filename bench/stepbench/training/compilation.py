"""`torch.compile`: its options, the cache of its results, and facts of what was compiled."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stepbench.config.case import Case
from stepbench.devices.kinds import kind_of
from stepbench.errors import UsageError

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


@dataclass(frozen=True)
class Occurrence:
    """A graph break or a recompilation.

    Attributes:
        reason: As torch gives it, on one line.
        where: File, line and function of the user's code; `None` where torch does not tell.
        count: How often.
    """

    reason: str
    where: str | None
    count: int


def facts(compile: str) -> dict[str, Any] | None:  # noqa: A002  # the axis's name
    """The compilations so far in this process, by torch's own counters. Times in seconds."""
    if compile == "off":
        return None
    from torch._dynamo import utils  # noqa: PLC0415  # slow to import

    counters = utils.counters
    recompiled = _recompiled(utils.get_compilation_metrics())
    kind, _, backend = compile.partition(":")
    return {
        "backend": backend if kind == "backend" else "inductor",
        "mode": None if kind == "backend" else compile,
        "graphs": counters["stats"]["unique_graphs"],
        "graph_breaks": sum(counters["graph_break"].values()),
        "recompiles": sum(each.count for each in recompiled),
        "compile_s": utils.calculate_time_spent().get("total_wall_time", 0.0),
        "breaks": [asdict(each) for each in _breaks(utils.graph_break_reasons)],
        "recompiled": [asdict(each) for each in recompiled],
    }


def _breaks(reasons: Iterable[Any]) -> list[Occurrence]:
    """Graph breaks, those at one place and for one reason together."""
    found = Counter(
        (_line(reason.reason), _place(reason.user_stack))
        for reason in reasons
        if getattr(reason, "graph_break", True)
    )
    return [Occurrence(reason, where, count) for (reason, where), count in found.items()]


def _recompiled(metrics: Iterable[Any]) -> list[Occurrence]:
    """Recompilations, those of one function and for one reason together."""
    found = Counter(
        (
            _line(metric.recompile_reason),
            f"{metric.co_filename}:{metric.co_firstlineno} in {metric.co_name}",
        )
        for metric in metrics
        if metric.recompile_reason
    )
    return [Occurrence(reason, where, count) for (reason, where), count in found.items()]


def _line(text: object) -> str:
    return " ".join(str(text).split())


def _place(stack: Any) -> str | None:  # noqa: ANN401  # torch's own summary of a stack
    if not stack:
        return None
    frame = stack[-1]
    return f"{frame.filename}:{frame.lineno} in {frame.name}"
