"""Runs one side of a pair in a separate process: builds it from its tree, and obeys commands.

A waiting side is idle: before the opposite side's turn begins, the workers of the waiting side's
loader have filled their queues, and the side's threads sleep.
"""

import contextlib
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from multiprocessing.connection import Client, Connection
from typing import Any

import psutil

from stepbench.config.requests import Request
from stepbench.devices import kinds
from stepbench.devices.kind import GaugeReading
from stepbench.errors import UnsupportedError, UsageError
from stepbench.measurement.active_case import start_case
from stepbench.measurement.idle import wait_until_idle
from stepbench.measurement.memory import HostPeak, device_peak_bytes
from stepbench.measurement.warm_up import WARMUP_WINDOW_S, warm_up
from stepbench.process.child import diagnose
from stepbench.regression.pair import SideRequest, Survey, Turn
from stepbench.regression.tree import activate, installed, provenance, workload_in
from stepbench.training import compilation
from stepbench.training.preflight import preflight
from stepbench.workload.shipped import SHIPPED
from stepbench_reports.schema.check import SideEnd
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.run import SamplingOptions

WARM_UP = SamplingOptions(max_time_s=4.0)
MEMORY_S = 0.1


def _serve(connection: "Connection[Any, Any]", side_request: SideRequest) -> None:
    """Builds a side, and runs commands from a connection until the command to exit."""
    side = LiveSide(side_request)
    connection.send(("built", None))
    while True:
        command, steps = connection.recv()
        if command == "warm up":
            connection.send(("warm", side.warm_up()))
        elif command == "turn":
            connection.send(("turn", side.turn(steps)))
        elif command == "begin gauge":
            side.begin_gauge()
            connection.send(("gauge", None))
        elif command == "end gauge":
            connection.send(("gauge", side.end_gauge()))
        elif command == "facts":
            connection.send(("facts", side.end_facts()))
        else:
            return


def run_side(connection: "Connection[Any, Any]", side_request: SideRequest) -> None:
    """Runs a side; sends any failure over the connection."""
    try:
        _serve(connection, side_request)
    except BaseException as error:  # noqa: BLE001  # sent to the parent
        with contextlib.suppress(OSError):  # the connection may be closed
            connection.send(("failed", _failure(error)))


def _failure(error: BaseException) -> tuple[str, str | None]:
    if isinstance(error, (UsageError, UnsupportedError)):
        return str(error), None
    return diagnose(error)[1], traceback.format_exc()


def connect_and_run(report: Callable[[str], None], address: str, side_request: SideRequest) -> None:
    """Runs one side (base or head) of a check in the Python environment of this process.

    Args:
        report: Takes progress messages for the user.
        address: The socket of the check's process, which commands this side's turns.
        side_request: The side and its case.
    """
    report("connecting")
    with Client(address, family="AF_UNIX") as connection:
        connection.send(("connected", side_request.tree.side))
        run_side(connection, side_request)


class LiveSide:
    """A side's case, built and ready to take turns.

    Args:
        side_request: The side's files and request.

    Raises:
        UsageError: The case's workload or data cannot be used.
        UnsupportedError: This machine cannot run the case.
    """

    def __init__(self, side_request: SideRequest) -> None:
        self._initial_modules = set(sys.modules)
        self._tree = side_request.tree
        request = prepare_process(side_request)
        self._case = request.case
        active = start_case(request)
        self._device_kind, self._loop = kinds.kind_of(self._case.device), active.timed_loop
        self._gauge = self._device_kind.gauge(self._case.device)
        self._prefetched_steps = -(-active.source.ready // self._case.accumulate)
        self._workers: tuple[int, ...] = ()

    def warm_up(self) -> tuple[float, int]:
        """Warms up; returns the seconds of a step, and the number of steps that a turn discards."""
        self._loop.run(1)
        compilation.end_workers()
        estimated_step_s = warm_up(self._loop, WARM_UP).step_s
        # Measured once more, since warm-up ends at the first window without a clear speedup.
        window = self._loop.bare(max(1, round(WARMUP_WINDOW_S / estimated_step_s)))
        compilation.end_workers()  # a step of warm-up may have recompiled
        self._workers = tuple(child.pid for child in psutil.Process().children(recursive=True))
        self._device_kind.reset_peak_memory(self._case.device)
        wait_until_idle(self._loop.clock, self._workers)
        return window.elapsed_s / window.steps, self._prefetched_steps

    def turn(self, steps: int) -> Turn:
        """Times a number of steps while the other side waits.

        The batches that loader workers prepared during the other side's turn are used up first,
        untimed: they cost this turn nothing.

        Returns:
            The sums of the step and of each phase, in seconds.
        """
        if self._prefetched_steps:
            self._loop.run(self._prefetched_steps)
        _, laps = self._loop.lapped(steps)
        track = laps.device or laps.host
        totals = {name: float(values.sum()) for name, values in track.items()}
        wait_until_idle(self._loop.clock, self._workers)
        return Turn(self._tree.side, steps, totals.pop(STEP), totals)

    def begin_gauge(self) -> None:
        """Starts to observe the device's state."""
        if self._gauge is not None:
            self._gauge.begin()

    def end_gauge(self) -> GaugeReading:
        """Returns the device's state since `begin_gauge`."""
        return GaugeReading() if self._gauge is None else self._gauge.end()

    def end_facts(self) -> SideEnd:
        """Collects the side's facts after the last turn; runs steps meanwhile, for peak memory."""
        compilation.end_workers()  # a step of a turn may have recompiled
        with HostPeak() as host:
            began = time.perf_counter()
            while time.perf_counter() - began < MEMORY_S:
                self._loop.run(1)
            self._loop.clock.synchronize()
        origin = provenance(self._tree)
        return SideEnd(
            host_peak_bytes=host.peak_bytes,
            device_peak_bytes=device_peak_bytes(self._case),
            compile=compilation.facts(self._case),
            modules=origin.from_tree,
            foreign=origin.foreign,
            packages=installed(set(sys.modules) - self._initial_modules),
        )


def prepare_process(side_request: SideRequest) -> Request:
    """Sets this process up for a side; returns the request with paths in the side's tree."""
    tree, request = side_request.tree, side_request.request
    activate(tree)
    spec = workload_in(tree, request.case.workload)
    return replace(
        request,
        case=request.case.changed(workload=spec),
        shipped=tree.side_path(request.shipped or SHIPPED),
    )


def run_alone(report: Callable[[str], None], side_request: SideRequest) -> None:
    """Builds a side and warms it up, while no opposite side is alive."""
    report("building")
    side = LiveSide(side_request)
    report("warming up")
    side.warm_up()


def call_in_side(
    report: Callable[[str], None],
    side_request: SideRequest,
    function: str,
    wrap: Callable[[Request], Any] | None = None,
) -> Any:  # noqa: ANN401  # the function's result
    """Runs a function of stepbench in a side's process, such as a cold start's measurement.

    Args:
        report: Called with a few words on the current activity.
        side_request: The side's files and request.
        function: `module:function`, called as `function(report, request)`.
        wrap: Makes the function's argument from the request; by default the request itself.
    """
    module, _, name = function.partition(":")
    target = getattr(import_module(module), name)
    request = prepare_process(side_request)
    return target(report, request if wrap is None else wrap(request))


def survey(report: Callable[[str], None], requests: tuple[SideRequest, ...]) -> Survey:
    """Tries a side's workloads and data before anything is measured.

    Args:
        report: Called with a few words on the current activity.
        requests: The side's files and a request, for each case.
    """
    initial_modules = set(sys.modules)
    problems: dict[str, str] = {}
    for side_request in requests:
        try:
            preflight(report, (prepare_process(side_request),))
        except (UsageError, UnsupportedError) as error:
            problems[side_request.request.case.id] = str(error)
    origin = provenance(requests[0].tree)
    return Survey(
        kinds.present(),
        problems,
        installed(set(sys.modules) - initial_modules),
        origin.from_tree,
        origin.foreign,
    )
