"""Clocks: how a training step's laps are taken on each kind of device.

A lap ends where the next one begins. The host's clock is read at each boundary; on an asynchronous
device an event is put into its stream there as well, with no synchronization, and read after the
block. The host's laps say how long Python took to *ask* for the work, the device's how long the
work *took*.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.phases import STEP, Phase

if TYPE_CHECKING:
    import torch

Seconds = NDArray[np.float64]


class Device(Protocol):
    """What taking time needs of a device."""

    asynchronous: bool
    """Whether work is queued, and so has times of its own."""
    clock_name: str
    """What the laps are read from, for the report."""

    def now_ns(self) -> int:
        """The host's clock, nanoseconds."""
        ...

    def record(self) -> object:
        """Marks this moment in the device's stream, without waiting for it."""
        ...

    def synchronize(self) -> None:
        """Waits until all the queued work is done."""
        ...

    def elapsed_s(self, begin: object, end: object) -> float:
        """Seconds between two marks; both lie in the past."""
        ...

    def release(self, marks: Iterable[object]) -> None:
        """Takes marks back that have been read."""
        ...


class HostDevice:
    """The CPU: work is done when a call returns, so there is nothing to wait for."""

    asynchronous = False
    clock_name = "time.perf_counter_ns"
    now_ns = staticmethod(time.perf_counter_ns)

    def record(self) -> object:
        """Not needed: the host's clock tells all."""
        raise NotImplementedError("the CPU has no stream")

    def synchronize(self) -> None:
        """Nothing is queued."""

    def elapsed_s(self, begin: object, end: object) -> float:
        """Not needed: the host's clock tells all."""
        raise NotImplementedError("the CPU has no stream")

    def release(self, marks: Iterable[object]) -> None:
        """Not needed: there are no marks."""


class EventDevice:
    """A device with streams and timed events: CUDA, and others through `torch.accelerator`.

    Events are used again once they have been read, since making one costs the host more than
    recording it.
    """

    asynchronous = True
    now_ns = staticmethod(time.perf_counter_ns)

    def __init__(self, device: "torch.device") -> None:
        import torch  # noqa: PLC0415  # only a process that measures imports torch

        self._device = device
        self._module = torch.get_device_module(device)
        self._spare: list[object] = []
        self.clock_name = f"{device.type} events"

    def record(self) -> object:
        """A timed event in the current stream."""
        event: Any = self._spare.pop() if self._spare else self._module.Event(enable_timing=True)
        event.record()
        marked: object = event
        return marked

    def synchronize(self) -> None:
        """Waits for every stream of the device."""
        if self._device.type == "mps":  # there is only one, and its function takes none
            self._module.synchronize()
        else:
            self._module.synchronize(self._device)

    def elapsed_s(self, begin: object, end: object) -> float:
        """Seconds between two events (`elapsed_time` gives milliseconds)."""
        return float(begin.elapsed_time(end)) / 1e3  # type: ignore[attr-defined]  # an Event

    def release(self, marks: Iterable[object]) -> None:
        """Keeps the events to be recorded again."""
        self._spare.extend(marks)


class SynchronizedDevice:
    """A device that is waited for whenever the clock is read: `--sync-phases`.

    Each phase's lap is then what it costs by itself. Training overlaps phases, so these laps add up
    to more than a step takes.

    Args:
        device: The device to wait for.
    """

    asynchronous = False

    def __init__(self, device: Device) -> None:
        self._device = device
        self.clock_name = "time.perf_counter_ns, the device waited for"
        self.record = device.record
        self.synchronize = device.synchronize
        self.elapsed_s = device.elapsed_s
        self.release = device.release

    def now_ns(self) -> int:
        """The host's clock, once all that was queued is done."""
        self._device.synchronize()
        return self._device.now_ns()


def device_clock(device: "torch.device") -> Device:
    """The clock that suits a device."""
    return HostDevice() if device.type == "cpu" else EventDevice(device)


@dataclass(frozen=True)
class Laps:
    """The laps of a block, seconds: an array (steps,) for each phase, and `step` for the whole.

    Attributes:
        host: By the host's clock.
        device: By the device's own; `None` where it is synchronous.
        micro: Where a phase has several laps in each step, these by themselves, an array
            (steps, laps): by the device's clock where it has one, else by the host's.
    """

    host: dict[str, Seconds]
    device: dict[str, Seconds] | None
    micro: dict[str, Seconds]

    @property
    def steps(self) -> Seconds:
        """The whole steps by the clock that tells how long the work took."""
        return (self.device or self.host)[STEP]


class LapTimer:
    """Takes the laps of one block of training steps.

    In the loop it only notes clock readings; durations are worked out by `read`.

    Args:
        device: The device that the steps run on.
    """

    lap: Callable[[Phase], None]
    """Ends a lap and begins the next. A phase may have several laps in a step."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._phases: list[Phase | None] = []
        self._host: list[int] = []
        self._events: list[object] = []
        self._steps: list[int] = []
        self._note = self._noting()
        self.lap = self._note

    def begin(self) -> None:
        """Starts the first step."""
        self._note(None)

    def end_step(self) -> None:
        """Ends a step where its last lap ended, and begins the next there."""
        self._steps.append(len(self._phases) - 1)

    def _noting(self) -> Callable[[Phase | None], None]:
        """What happens at a boundary: as little as can be, with all that it needs at hand."""
        now_ns, record = self._device.now_ns, self._device.record
        name, note, mark = self._phases.append, self._host.append, self._events.append

        def synchronous(phase: Phase | None) -> None:
            note(now_ns())
            name(phase)

        def asynchronous(phase: Phase | None) -> None:
            mark(record())
            note(now_ns())
            name(phase)

        return asynchronous if self._device.asynchronous else synchronous

    def read(self) -> Laps:
        """The laps; waits for the device first."""
        self._device.synchronize()
        stamps: NDArray[np.int64] = np.array(self._host, dtype=np.int64)
        durations: Seconds = (stamps[1:] - stamps[:-1]) / 1e9
        host, device = self._sum(durations), None
        if self._device.asynchronous:
            pairs = zip(self._events, self._events[1:], strict=False)
            durations = np.array([self._device.elapsed_s(*pair) for pair in pairs])
            device = self._sum(durations)
            self._device.release(self._events)
            self._events.clear()
        return Laps(host, device, self._micro(durations))

    def _of_phase(self) -> dict[Phase, NDArray[np.bool_]]:
        """Which laps each phase has."""
        phases = self._phases[1:]
        return {
            phase: np.array([other is phase for other in phases], dtype=bool)
            for phase in dict.fromkeys(phase for phase in phases if phase is not None)
        }

    def _of_step(self, laps: int) -> NDArray[np.intp]:
        """Which step each lap belongs to; one that has not ended counts as the last plus one."""
        return np.searchsorted(self._steps, np.arange(1, laps + 1))

    def _sum(self, durations: Seconds) -> dict[str, Seconds]:
        """Durations of single laps (laps,) to the sum per step and phase."""
        steps = len(self._steps)
        of_step = self._of_step(len(durations))
        inside = of_step < steps
        sums: dict[str, Seconds] = {}
        for phase, its in self._of_phase().items():
            mine = inside & its
            sums[str(phase)] = _summed(of_step[mine], durations[mine], steps)
        sums[STEP] = _summed(of_step[inside], durations[inside], steps)
        return sums

    def _micro(self, durations: Seconds) -> dict[str, Seconds]:
        """Durations (laps,) of the phases that have several laps in every step: (steps, laps)."""
        steps = len(self._steps)
        of_step = self._of_step(len(durations))
        found: dict[str, Seconds] = {}
        for phase, its in self._of_phase().items():
            mine = its & (of_step < steps)
            counts = set(np.bincount(of_step[mine], minlength=steps).tolist())
            if len(counts) == 1 and max(counts) > 1:
                found[str(phase)] = durations[mine].reshape(steps, -1)
        return found


def _summed(groups: NDArray[np.intp], durations: Seconds, count: int) -> Seconds:
    return np.bincount(groups, weights=durations, minlength=count).astype(np.float64)
