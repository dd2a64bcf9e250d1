"""Cases whose compiler uses its pool of processes. Run in a child, which lists its process tree.

On the CPU, Inductor compiles within the process; a GPU's code is compiled in the pool.
"""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import psutil

from stepbench.config.requests import Request
from stepbench.config.turns import TakeTurn, TurnKind, TurnResult
from stepbench.measurement import player
from stepbench.measurement.memory import HostPeak
from stepbench.measurement.warm_up import warm_up
from stepbench.regression.side_requests import SideRequest
from stepbench.regression.worker.side import prepare_process
from stepbench.training.compilation import compile_model
from support.scripted import ScriptedLink, perform

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


def measured(_: Callable[[str], None], request: Request) -> tuple[Trees, list[bool]]:
    """Plays a case that recompiles in warm-up and in each turn but the last one.

    Returns:
        The process trees, and for each turn if processes whose work is not interference were known.
    """
    trees: Trees = {}
    known: list[bool] = []
    compiler = Compiler(trees)
    enter, take_turn = HostPeak.__enter__, player.CasePlayer.turn

    def noted_warm_up(*arguments: Any) -> Any:
        note(trees, "warm-up")
        compiler.use_again()
        return warm_up(*arguments)

    def noted_turn(case_player: player.CasePlayer, command: TakeTurn) -> TurnResult:
        note(trees, "turn")
        known.append(bool(case_player._watch._child_pids))
        if command.kind is not TurnKind.UNLOADED:
            compiler.use_again()
        return take_turn(case_player, command)

    def noted_enter(peak: HostPeak) -> HostPeak:
        note(trees, "memory")
        return enter(peak)

    with (
        patch(COMPILE_MODEL, compiler.compile_model),
        patch.object(player, "warm_up", noted_warm_up),
        patch.object(player.CasePlayer, "turn", noted_turn),
        patch.object(HostPeak, "__enter__", noted_enter),
    ):
        perform(request, (TurnKind.LAPPED, 3), (TurnKind.BARE, 3), (TurnKind.UNLOADED, 3))
    return trees, known


def side(_: Callable[[str], None], side_request: SideRequest) -> tuple[Trees, list[int]]:
    """Warms up a side of a pair.

    Returns:
        The process trees, and the processes that the side waits for.
    """
    trees: Trees = {}
    request = prepare_process(side_request.tree, side_request.request)
    with patch(COMPILE_MODEL, Compiler(trees).compile_model):
        live = player.CasePlayer(ScriptedLink(), request)
    note(trees, "built")
    live.prepare(thorough=False)
    note(trees, "warm")
    return trees, list(live._workers)
