"""One side of a pair, in a process of its own: built from its own tree, it works on command.

A side that waits does nothing: before the other side's turn begins, the workers of its loader have
filled their queues, and its threads sleep.
"""

import contextlib
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib import import_module
from multiprocessing.connection import Client, Connection
from typing import Any

import psutil

from stepbench.config.requests import Request
from stepbench.devices import kinds
from stepbench.errors import UnsupportedError, UsageError
from stepbench.interference.processor_time import processor_s
from stepbench.measurement.active_case import start_case
from stepbench.measurement.memory import HostPeak
from stepbench.measurement.warm_up import WARMUP_WINDOW_S, warm_up
from stepbench.process.child import diagnosed
from stepbench.regression.pair import SideRequest, Survey, Turn
from stepbench.regression.tree import enter, installed, provenance, workload_in
from stepbench.training import compilation
from stepbench.training.preflight import preflight
from stepbench.workload.shipped import SHIPPED
from stepbench_reports.schema.check import SideEnd
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.run import SamplingOptions

WARM_UP = SamplingOptions(max_time_s=4.0)
QUIET_S, QUIET_SHARE = 0.002, 0.1
"""A side rests once its processes were busy for less than this share of such an interval."""
MOST_WAIT_S = 2.0
"""The longest wait for a side to rest, seconds: one with a busy thread of its own never does."""
MEMORY_S = 0.1


def serve(connection: "Connection[Any, Any]", asked: SideRequest) -> None:
    """Builds a side and runs its commands until it is to leave."""
    side = LiveSide(asked)
    connection.send(("built", None))
    while True:
        word, steps = connection.recv()
        if word == "warm up":
            connection.send(("warm", side.warm_up()))
        elif word == "turn":
            connection.send(("turn", side.turn(steps)))
        elif word == "tell":
            connection.send(("told", side.ended()))
        else:
            return


def live(connection: "Connection[Any, Any]", asked: SideRequest) -> None:
    """Runs a side; sends its failure to the other end."""
    try:
        serve(connection, asked)
    except BaseException as error:  # noqa: BLE001  # the other end is told of any
        with contextlib.suppress(OSError):  # nobody listens any more
            connection.send(("failed", _failure(error)))


def _failure(error: BaseException) -> tuple[str, str | None]:
    if isinstance(error, (UsageError, UnsupportedError)):
        return str(error), None
    return diagnosed(error)[1], traceback.format_exc()


def answer(report: Callable[[str], None], address: str, asked: SideRequest) -> None:
    """Runs a side in an environment of its own, commanded by the listener at an address."""
    report("connecting")
    with Client(address, family="AF_UNIX") as connection:
        connection.send(("here", asked.tree.side))
        live(connection, asked)


class LiveSide:
    """A side's case, built and ready to take turns.

    Args:
        asked: The side.

    Raises:
        UsageError: The case's workload or data cannot be used.
        UnsupportedError: This machine cannot run it.
    """

    def __init__(self, asked: SideRequest) -> None:
        self._known = set(sys.modules)
        self._tree = asked.tree
        request = entered(asked)
        self._case = request.case
        begun = start_case(request)
        self._kind, self._subject = kinds.kind_of(self._case.device), begun.subject
        self._ready = -(-begun.source.ready // self._case.accumulate)
        self._workers = [child.pid for child in psutil.Process().children(recursive=True)]

    def warm_up(self) -> tuple[float, int]:
        """Warms up; returns the seconds of a step, and the number of steps that a turn discards."""
        rough_s = warm_up(self._subject, WARM_UP).step_s
        # Once more, for warm-up ends at the first window that is not much faster than the last.
        window = self._subject.bare(max(1, round(WARMUP_WINDOW_S / rough_s)))
        self._kind.reset_peak_memory(self._case.device)
        self._rest()
        return window.elapsed_s / window.steps, self._ready

    def turn(self, steps: int) -> Turn:
        """Takes a turn; the batches that the loader has ready are used up first, untimed."""
        if self._ready:
            self._subject.run(self._ready)
        _, laps = self._subject.lapped(steps)
        track = laps.device or laps.host
        totals = {name: float(values.sum()) for name, values in track.items()}
        self._rest()
        return Turn(self._tree.side, steps, totals.pop(STEP), totals)

    def ended(self) -> SideEnd:
        """The facts of the side after its last turn."""
        with HostPeak() as host:
            began = time.perf_counter()
            while time.perf_counter() - began < MEMORY_S:
                self._subject.run(1)
            self._subject.clock.synchronize()
        found = provenance(self._tree)
        return SideEnd(
            host_peak_bytes=host.peak_bytes,
            device_peak_bytes=self._kind.peak_memory(self._case.device).device_peak_allocated_bytes,
            compile=compilation.facts(self._case.compile),
            modules=found.own,
            foreign=found.foreign,
            packages=installed(set(sys.modules) - self._known),
        )

    def _rest(self) -> None:
        """Waits until this side's threads and workers are idle."""
        self._subject.clock.synchronize()
        until = time.perf_counter() + MOST_WAIT_S
        while time.perf_counter() < until:
            before = _busy_s(self._workers)
            began = time.perf_counter()
            time.sleep(QUIET_S)
            if _busy_s(self._workers) - before < QUIET_SHARE * (time.perf_counter() - began):
                return


def _busy_s(workers: Iterable[int]) -> float:
    return time.process_time() + processor_s(workers)


def entered(asked: SideRequest) -> Request:
    """Makes this process the side's; returns its request, with its own files for head's."""
    tree, request = asked.tree, asked.request
    enter(tree)
    spec = workload_in(tree, request.case.workload)
    return replace(
        request,
        case=request.case.changed(workload=spec),
        shipped=tree.own(request.shipped or SHIPPED),
    )


def work_alone(report: Callable[[str], None], asked: SideRequest) -> None:
    """Builds a side and runs it for a while, with no other beside it."""
    report("building")
    side = LiveSide(asked)
    report("warming up")
    side.warm_up()


def run_in(
    report: Callable[[str], None],
    asked: SideRequest,
    function: str,
    wrap: Callable[[Request], Any] | None = None,
) -> Any:  # noqa: ANN401  # what the function returns
    """Runs another of stepbench's functions as a side, such as taking a cold start.

    Args:
        report: Called with a few words on the current activity.
        asked: The side.
        function: `module:function`, called as `function(report, request)`.
        wrap: Makes the function's argument of the request.
    """
    module, _, name = function.partition(":")
    called = getattr(import_module(module), name)
    request = entered(asked)
    return called(report, request if wrap is None else wrap(request))


def survey(report: Callable[[str], None], asked: tuple[SideRequest, ...]) -> Survey:
    """Tries a side's workloads and data before anything is measured.

    Args:
        report: Called with a few words on the current activity.
        asked: The side's cases.
    """
    before = set(sys.modules)
    problems: dict[str, str] = {}
    for each in asked:
        try:
            preflight(report, (entered(each),))
        except (UsageError, UnsupportedError) as error:
            problems[each.request.case.id] = str(error)
    origin = provenance(asked[0].tree)
    return Survey(
        kinds.present(),
        problems,
        installed(set(sys.modules) - before),
        origin.own,
        origin.foreign,
    )
