"""`torch.compile`: what it is asked for, where it keeps its results, and what it made."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.errors import UnsupportedError, UsageError

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def use_cache(directory: Path) -> None:
    """Has the compiler keep its results in a directory, unless the user has named one."""
    os.environ.setdefault(CACHE_VARIABLE, str(directory))


def compile_model(model: nn.Module, compile: str, device: torch.device) -> Callable[..., Any]:  # noqa: A002  # the axis's name
    """The model as the case calls it.

    Args:
        model: In training mode, on its device.
        compile: A value of the axis: `off`, a mode, or `backend:NAME`.
        device: Where the model is.

    Raises:
        UsageError: The backend is not known to torch.
        UnsupportedError: This machine lacks what the compiler needs.
    """
    if compile == "off":
        return model
    kind, _, backend = compile.partition(":")
    if kind == "backend":
        known = torch._dynamo.list_backends(exclude_tags=())
        if backend not in known:
            raise UsageError(
                f"--compile {compile}: torch knows no such backend; there are {', '.join(known)}"
            )
        return torch.compile(model, backend=backend)
    _require_compiler(device)
    return torch.compile(model, mode=compile)


def _require_compiler(device: torch.device) -> None:
    if device.type == "cpu":
        from torch._inductor import cpp_builder, exc  # noqa: PLC0415  # slow to import

        try:
            cpp_builder.get_cpp_compiler()
        except exc.InvalidCxxCompiler:
            raise UnsupportedError(
                "compile",
                "torch.compile needs a C++ compiler on the CPU and found none; install g++ "
                "(Debian: apt-get install g++), or set CXX, or use --compile off",
            ) from None
    elif device.type == "cuda":
        from torch.utils._triton import has_triton  # noqa: PLC0415

        if not has_triton():
            raise UnsupportedError(
                "compile",
                "torch.compile needs Triton for this GPU and found none; install triton, "
                "or use --compile off",
            )


def facts(compile: str) -> dict[str, Any] | None:  # noqa: A002  # the axis's name
    """What was compiled so far in this process, by Dynamo's and Inductor's own counters.

    `cache` is `cold` where anything had to be compiled anew, `warm` where all of it was kept from
    before, and `None` where the backend keeps nothing.
    """
    if compile == "off":
        return None
    counters = torch._dynamo.utils.counters
    inductor, autograd = counters["inductor"], counters["aot_autograd"]
    missed = inductor["fxgraph_cache_miss"] + autograd["autograd_cache_miss"]
    hit = inductor["fxgraph_cache_hit"] + autograd["autograd_cache_hit"]
    kind, _, backend = compile.partition(":")
    return {
        "backend": backend if kind == "backend" else "inductor",
        "mode": None if kind == "backend" else compile,
        "cache": "cold" if missed else "warm" if hit else None,
        "graphs": counters["stats"]["unique_graphs"],
        "graph_breaks": sum(counters["graph_break"].values()),
    }
