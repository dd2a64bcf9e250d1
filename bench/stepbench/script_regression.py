"""`stepbench regression --script train.py`: hands scripts to the gate as the sides of its pairs.

The gate knows no scripts, and scripts no gate: this front door puts them together.
"""

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stepbench.config.case import Case
from stepbench.config.matrix import Matrix
from stepbench.errors import UsageError
from stepbench.process.job import Job, Outcome
from stepbench.process.server import Server
from stepbench.process.supervision import Child
from stepbench.regression import command
from stepbench.regression.options import CheckOptions
from stepbench.regression.side_requests import SideRequest, Survey
from stepbench.regression.tree import Tree
from stepbench.scheduling.player import Limits, Player, PlayerLostError
from stepbench.scripts.options import SCRIPT_DEADLINE_S, script_of
from stepbench.scripts.requests import ScriptCommand, ScriptEnd, ScriptRequest
from stepbench.scripts.server import ScriptPlace, ScriptServer
from stepbench.scripts.working_copy import copied, refuse_large_tree, script_in
from stepbench_reports.schema.check import SideEnd
from stepbench_reports.schema.status import Status

WARM_UP_S = 4.0
"""The longest warm-up of a side, seconds."""
NOT_OF_SCRIPTS = "is not taken of a script"


def main(arguments: Sequence[str]) -> int:
    """Runs a check of workloads or of a script.

    Args:
        arguments: The command line after `stepbench regression`.

    Returns:
        The exit code.
    """
    return command.main(arguments, prepare)


def prepare(options: CheckOptions) -> tuple[CheckOptions, Callable[[], Server]]:
    """Runs the script of a check until it is warm, and makes its case.

    Args:
        options: The options, with the script and its arguments.

    Returns:
        The options with the script's case, and what starts servers of its sides.

    Raises:
        UsageError: The script cannot be measured, or options of workloads are given.
    """
    script = script_of(options.script)
    refused = options.run.given & {"workload", *Case.__struct_fields__}
    if refused:
        name = min(refused).replace("_", "-")
        raise UsageError(f"--{name}: takes no effect with --script; leave it out")
    if options.base is None or options.base_python is not None:
        raise UsageError("--script: compares two revisions; give --base, and no --base-python")
    here = Path.cwd()
    refuse_large_tree(here, options.shared)
    server = ScriptSides(script, options.run.memory_limit_bytes)
    tree = Tree("head", here, here, Path(), options.shared)
    end = server.recognise(tree)
    if isinstance(end, Outcome):
        raise UsageError(f"--script {options.script[0]}: {end.reason}")
    axes: dict[str, Any] = end.axes
    case = Case(workload=script.shown, **axes).normalized()
    matrix = Matrix({name: (value,) for name, value in case.values().items()})
    run = replace(options.run, matrix=matrix, parity=None)
    return replace(options, run=run), lambda: server


class SideChild(Child):
    """A script that is a side of a pair; its copy of the tree ends with it.

    Attributes:
        stack: What ends with the script.
    """

    stack: contextlib.ExitStack

    def __exit__(self, *error: object) -> None:
        """Kills the script if its end was not waited for, and removes its copy."""
        with self.stack:
            super().__exit__(*error)

    def outcome(self, deadline_s: float, on_progress: Callable[[str], None]) -> Outcome:
        """Waits for the script's end; its result is that of a side."""
        outcome = super().outcome(deadline_s, on_progress)
        end = outcome.result
        if not isinstance(end, ScriptEnd):
            return outcome
        side = SideEnd(
            host_peak_bytes=end.memory.host_peak_bytes,
            device_peak_bytes=end.memory.device_peak_allocated_bytes,
            compile=end.compile,
            modules=end.modules,
            foreign=end.foreign,
        )
        return replace(outcome, result=side)


@dataclass
class ScriptSides(Server):
    """Starts the script of a side, in a copy of the side's files.

    Attributes:
        script: The script.
        memory_limit_bytes: The host memory that its processes may use together.
    """

    script: ScriptCommand
    memory_limit_bytes: int | None

    def wait_until_ready(self) -> None:
        """Returns at once: each script imports what it needs."""

    def start(self, job: Job) -> Child:
        """Starts a side's script for a job whose first argument is a `SideRequest`."""
        side_request: SideRequest = job.arguments[0]
        with contextlib.ExitStack() as stack:
            child = self._start(side_request.tree, SideChild, stack)
            assert isinstance(child, SideChild)  # noqa: S101  # as was asked for
            child.stack = stack.pop_all()
            return child
        raise AssertionError  # the context swallows no exception

    def _start(self, tree: Tree, child: type[Child], stack: contextlib.ExitStack) -> Child:
        shared = tree.shared if tree.checkout == tree.root else ()
        copy = stack.enter_context(copied(tree.checkout, shared))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stepbench-output-")))
        place = ScriptPlace(copy / tree.subdirectory, folder / "output.txt")
        request = ScriptRequest(
            script=script_in(copy, tree.root, self.script),
            alone=child is Child,
            warm_up_s=WARM_UP_S,
            seed=0,
            tree=copy,
            repository=tree.root,
        )
        job = Job("script", (request,), self.memory_limit_bytes, label=f"{tree.side}'s script")
        return ScriptServer(place, child).start(job)

    def recognise(self, tree: Tree) -> ScriptEnd | Outcome:
        """Runs a side's script until it is warm; returns its outcome if it ends before."""
        starter = _Alone(self, tree)
        with contextlib.ExitStack() as stack:
            starter.stack = stack
            limits = Limits(SCRIPT_DEADLINE_S, lambda _: None)
            player = stack.enter_context(Player[ScriptEnd](starter, Job("script"), limits))
            try:
                player.prepare(thorough=True)
                end = player.finish(thorough=True)
            except PlayerLostError as error:
                return error.outcome
        assert end is not None  # noqa: S101  # a thorough end has facts
        return end

    def run(self, job: Job, *, deadline_s: float, on_progress: Callable[[str], None]) -> Outcome:
        """Surveys a side, or runs it alone; nothing else is done with a script."""
        del deadline_s
        name = job.function.rpartition(":")[2]
        if name not in {"survey", "run_alone"}:
            return Outcome(Status.UNSUPPORTED, reason=f"{name} {NOT_OF_SCRIPTS}")
        first = job.arguments[0]
        requests: tuple[SideRequest, ...] = first if isinstance(first, tuple) else (first,)
        on_progress("running the script until it is warm")
        end = self.recognise(requests[0].tree)
        if name == "run_alone":
            return end if isinstance(end, Outcome) else Outcome(Status.OK)
        if isinstance(end, Outcome):
            reason = end.reason or str(end.status)
            problems = {request.request.case.id: reason for request in requests}
            return Outcome(Status.OK, Survey({}, problems, (), 0, ()))
        return Outcome(Status.OK, Survey(end.devices, {}, (), end.modules, end.foreign))

    def restart(self) -> None:
        """Does nothing: each script is started anew."""

    def close(self) -> None:
        """Does nothing: each script belongs to its handle, which ends it."""


class _Alone(Server):
    """Starts one script of a side, whose result stays that of a script."""

    def __init__(self, sides: ScriptSides, tree: Tree) -> None:
        self._sides = sides
        self._tree = tree
        self.stack = contextlib.ExitStack()

    def wait_until_ready(self) -> None:
        """Returns at once."""

    def start(self, job: Job) -> Child:
        """Starts the script."""
        del job
        return self._sides._start(self._tree, Child, self.stack)  # a part of it

    def restart(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""
