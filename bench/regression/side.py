"""One side of a pair, in a process of its own: built from its own tree, it works when it is told.

While it waits it does nothing: its loader's workers have filled their queues, and its threads
sleep, before the other side's turn begins.
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

from bench import compilation, devices, memory
from bench.child import diagnosed
from bench.disturbance import processor_s
from bench.errors import UnsupportedError, UsageError
from bench.phases import STEP
from bench.preflight import preflight
from bench.regression.pair import Ended, SideRequest, Survey, Turn
from bench.regression.tree import enter, installed, provenance, workload_in
from bench.request import Request, Sampling
from bench.sampling import WARMUP_WINDOW_S, warm_up
from bench.working import working

WARM_UP = Sampling(max_time_s=4.0)
QUIET_S, QUIET_SHARE = 0.002, 0.1
"""A side is still once its processes were busy for less than this share of such an interval."""
MOST_WAIT_S = 2.0
"""Where a side never is, such as one with a thread of its own, its turn ends all the same."""
MEMORY_S = 0.1


def serve(connection: "Connection[Any, Any]", asked: SideRequest) -> None:
    """A side's whole life: builds, and then does what it is told until it is told to leave."""
    side = Side(asked)
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
    """A side's process: what goes wrong is told."""
    try:
        serve(connection, asked)
    except BaseException as error:  # noqa: BLE001  # whatever it was, the other end is told
        with contextlib.suppress(OSError):  # nobody listens any more
            connection.send(("failed", _told(error)))


def _told(error: BaseException) -> tuple[str, str | None]:
    if isinstance(error, (UsageError, UnsupportedError)):
        return str(error), None
    return diagnosed(error)[1], traceback.format_exc()


def answer(report: Callable[[str], None], address: str, asked: SideRequest) -> None:
    """A side in an environment of its own, told what to do by whoever listens at an address."""
    report("connecting")
    with Client(address, family="AF_UNIX") as connection:
        connection.send(("here", asked.tree.side))
        live(connection, asked)


class Side:
    """A case at work.

    Args:
        asked: What it is to be.

    Raises:
        UsageError: The case asks for something that is not there.
        UnsupportedError: This machine cannot run it.
    """

    def __init__(self, asked: SideRequest) -> None:
        self._known = set(sys.modules)
        self._tree = asked.tree
        request = entered(asked)
        self._case = request.case
        begun = working(request)
        self._device, self._subject = begun.built.training.device, begun.subject
        self._ready = -(-begun.source.ready // self._case.accumulate)
        self._workers = [child.pid for child in psutil.Process().children(recursive=True)]

    def warm_up(self) -> tuple[float, int]:
        """Runs until steps have settled: what one takes, seconds, and how many a turn discards."""
        rough_s = warm_up(self._subject, WARM_UP).step_s
        # Once more, for warm-up ends at the first window that is not much faster than the last.
        window = self._subject.bare(max(1, round(WARMUP_WINDOW_S / rough_s)))
        memory.reset_device_peak(self._device)
        self._rest()
        return window.elapsed_s / window.steps, self._ready

    def turn(self, steps: int) -> Turn:
        """Takes a turn; what the loader had ready is used up first, untimed."""
        if self._ready:
            self._subject.run(self._ready)
        _, laps = self._subject.lapped(steps)
        track = laps.device or laps.host
        totals = {name: float(values.sum()) for name, values in track.items()}
        self._rest()
        return Turn(self._tree.side, steps, totals.pop(STEP), totals)

    def ended(self) -> Ended:
        """What is asked only once the turns are over."""
        with memory.HostPeak() as host:
            began = time.perf_counter()
            while time.perf_counter() - began < MEMORY_S:
                self._subject.run(1)
            self._subject.clock.synchronize()
        found = provenance(self._tree)
        return Ended(
            host_peak_bytes=host.peak_bytes,
            device_peak_bytes=memory.device_peak(self._device)["device_peak_allocated_bytes"],
            compile=compilation.facts(self._case.compile),
            modules=found.own,
            foreign=found.foreign,
            packages=installed(set(sys.modules) - self._known),
        )

    def _rest(self) -> None:
        """Waits until this side's threads and workers have nothing left to do."""
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
    """Makes this process the side's; its request, with its own files in the place of head's."""
    tree, request = asked.tree, asked.request
    enter(tree)
    spec = workload_in(tree, request.case.workload)
    return replace(
        request,
        case=replace(request.case, workload=spec),
        shipped=tree.own(request.shipped),
    )


def work_alone(report: Callable[[str], None], asked: SideRequest) -> None:
    """Builds a side and has it work for a while, with no other beside it."""
    report("building")
    side = Side(asked)
    report("warming up")
    side.warm_up()


def run_in(
    report: Callable[[str], None],
    asked: SideRequest,
    function: str,
    wrap: Callable[[Request], Any] | None = None,
) -> Any:  # noqa: ANN401  # what the function returns
    """Runs another of stepbench's functions as a side, such as `bench.cold:compile_cold`.

    Args:
        report: Is told in a word what is being done.
        asked: The side.
        function: `module:function`, called as `function(report, request)`.
        wrap: Makes what the function takes of the request.
    """
    module, _, name = function.partition(":")
    called = getattr(import_module(module), name)
    request = entered(asked)
    return called(report, request if wrap is None else wrap(request))


def survey(report: Callable[[str], None], asked: tuple[SideRequest, ...]) -> Survey:
    """Tries what can be tried as a side before anything is measured.

    Args:
        report: Is told in a word what is being done.
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
        devices.present(),
        problems,
        installed(set(sys.modules) - before),
        origin.own,
        origin.foreign,
    )
