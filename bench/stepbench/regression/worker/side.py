"""Runs one side of a pair in a separate process: builds it from its tree, and obeys commands.

A waiting side is idle: before the opposite side's turn begins, the workers of the waiting side's
loader have filled their queues, and the side's threads sleep.
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
"""A side is idle once its processes are busy for less than `QUIET_SHARE` of `QUIET_S` seconds."""
MOST_WAIT_S = 2.0
"""The longest wait for a side to become idle, seconds. A side with a busy thread never does."""
MEMORY_S = 0.1


def serve(connection: "Connection[Any, Any]", asked: SideRequest) -> None:
    """Builds a side, and runs commands from a connection until the command to leave."""
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
    """Runs a side; sends any failure over the connection."""
    try:
        serve(connection, asked)
    except BaseException as error:  # noqa: BLE001  # sent to the parent
        with contextlib.suppress(OSError):  # the connection may be closed
            connection.send(("failed", _failure(error)))


def _failure(error: BaseException) -> tuple[str, str | None]:
    if isinstance(error, (UsageError, UnsupportedError)):
        return str(error), None
    return diagnosed(error)[1], traceback.format_exc()


def answer(report: Callable[[str], None], address: str, asked: SideRequest) -> None:
    """Runs a side in a separate environment, by the commands of the listener at an address."""
    report("connecting")
    with Client(address, family="AF_UNIX") as connection:
        connection.send(("here", asked.tree.side))
        live(connection, asked)


class LiveSide:
    """A side's case, built and ready to take turns.

    Args:
        asked: The side's files and request.

    Raises:
        UsageError: The case's workload or data cannot be used.
        UnsupportedError: This machine cannot run the case.
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
        # Measured once more, since warm-up ends at the first window without a clear speedup.
        window = self._subject.bare(max(1, round(WARMUP_WINDOW_S / rough_s)))
        self._kind.reset_peak_memory(self._case.device)
        self._rest()
        return window.elapsed_s / window.steps, self._ready

    def turn(self, steps: int) -> Turn:
        """Takes a turn of timed steps; first uses up the loader's ready batches, untimed."""
        if self._ready:
            self._subject.run(self._ready)
        _, laps = self._subject.lapped(steps)
        track = laps.device or laps.host
        totals = {name: float(values.sum()) for name, values in track.items()}
        self._rest()
        return Turn(self._tree.side, steps, totals.pop(STEP), totals)

    def ended(self) -> SideEnd:
        """Collects the side's facts after the last turn; runs steps meanwhile, for peak memory."""
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
    """Sets this process up for a side; returns the request with paths in the side's tree."""
    tree, request = asked.tree, asked.request
    enter(tree)
    spec = workload_in(tree, request.case.workload)
    return replace(
        request,
        case=request.case.changed(workload=spec),
        shipped=tree.own(request.shipped or SHIPPED),
    )


def work_alone(report: Callable[[str], None], asked: SideRequest) -> None:
    """Builds a side and warms it up, while no opposite side is alive."""
    report("building")
    side = LiveSide(asked)
    report("warming up")
    side.warm_up()


def run_in(
    report: Callable[[str], None],
    asked: SideRequest,
    function: str,
    wrap: Callable[[Request], Any] | None = None,
) -> Any:  # noqa: ANN401  # the function's result
    """Runs a function of stepbench in a side's process, such as a cold start's measurement.

    Args:
        report: Called with a few words on the current activity.
        asked: The side's files and request.
        function: `module:function`, called as `function(report, request)`.
        wrap: Makes the function's argument from the request; by default the request itself.
    """
    module, _, name = function.partition(":")
    called = getattr(import_module(module), name)
    request = entered(asked)
    return called(report, request if wrap is None else wrap(request))


def survey(report: Callable[[str], None], asked: tuple[SideRequest, ...]) -> Survey:
    """Tries a side's workloads and data before anything is measured.

    Args:
        report: Called with a few words on the current activity.
        asked: The side's files and a request, for each case.
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
