"""Cases whose compiler uses its pool of processes. Run in a child, which lists its process tree.

On the CPU, Inductor compiles within the process; a GPU's code is compiled in the pool.
"""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import psutil

from stepbench.config.requests import Request
from stepbench.measurement import measure
from stepbench.measurement.memory import HostPeak
from stepbench.measurement.sampling import sample
from stepbench.measurement.warm_up import warm_up
from stepbench.regression.pair import SideRequest
from stepbench.regression.worker.side import LiveSide
from stepbench.training.compilation import compile_model

COMPILE_MODEL = "stepbench.training.compilation.compile_model"
Trees = dict[str, list[int]]
"""The numbers of processes below the child, each time that something began."""


class Compiler:
    """Compiles models so that their next call, and each call after `use_again`, uses the pool."""

    def __init__(self, trees: Trees) -> None:
        self._trees = trees
        self._due = True

    def use_again(self) -> None:
        """Has the next call of the model use the pool, as a recompilation does."""
        self._due = True

    def compile_model(self, *arguments: Any) -> Callable[..., Any]:
        """Replaces `compilation.compile_model`."""
        compiled = compile_model(*arguments)

        def call(*inputs: Any) -> Any:
            if self._due:
                from torch._inductor.async_compile import AsyncCompile

                self._due = False
                assert AsyncCompile.process_pool().submit(AsyncCompile._get_ready).result()
                note(self._trees, "compilation")
            return compiled(*inputs)

        return call


def note(trees: Trees, event: str) -> None:
    """Notes the number of processes below this one."""
    trees.setdefault(event, []).append(len(psutil.Process().children(recursive=True)))


def measured(report: Callable[[str], None], request: Request) -> tuple[Trees, list[int]]:
    """Measures a case that recompiles in warm-up and in sampling.

    Returns:
        The process trees, and the processes whose work was not interference during sampling.
    """
    trees: Trees = {}
    tree_at_sampling: list[int] = []
    compiler = Compiler(trees)
    enter = HostPeak.__enter__

    def noted_warm_up(*arguments: Any) -> Any:
        note(trees, "warm-up")
        compiler.use_again()
        return warm_up(*arguments)

    def noted_sample(*arguments: Any, **keywords: Any) -> Any:
        note(trees, "sampling")
        tree_at_sampling.extend(arguments[2]._child_pids)
        compiler.use_again()
        return sample(*arguments, **keywords)

    def noted_enter(peak: HostPeak) -> HostPeak:
        note(trees, "memory")
        return enter(peak)

    with (
        patch(COMPILE_MODEL, compiler.compile_model),
        patch.object(measure, "warm_up", noted_warm_up),
        patch.object(measure, "sample", noted_sample),
        patch.object(HostPeak, "__enter__", noted_enter),
    ):
        measure.measure(report, request)
    return trees, tree_at_sampling


def side(_: Callable[[str], None], side_request: SideRequest) -> tuple[Trees, list[int]]:
    """Warms up a side of a pair.

    Returns:
        The process trees, and the processes that the side waits for.
    """
    trees: Trees = {}
    with patch(COMPILE_MODEL, Compiler(trees).compile_model):
        live = LiveSide(side_request)
    note(trees, "built")
    live.warm_up()
    note(trees, "warm")
    return trees, list(live._workers)
