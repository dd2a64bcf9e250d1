"""Clocks: how a training step's laps are taken on each kind of device.

A lap ends where the next one begins. The host's clock is read at each boundary; on an asynchronous
device an event is put into its stream there as well, with no synchronization, and read after the
block. The host's laps say how long Python took to *ask* for the work, the device's how long the
work *took*.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

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

    def record(self) -> object:
        """Marks this moment in the device's stream, without waiting for it."""
        ...

    def synchronize(self) -> None:
        """Waits until all the queued work is done."""
        ...

    def elapsed_s(self, begin: object, end: object) -> float:
        """Seconds between two marks; both lie in the past."""
        ...


class HostDevice:
    """The CPU: work is done when a call returns, so there is nothing to wait for."""

    asynchronous = False
    clock_name = "time.perf_counter_ns"

    def record(self) -> object:
        """Not needed: the host's clock tells all."""
        raise NotImplementedError("the CPU has no stream")

    def synchronize(self) -> None:
        """Nothing is queued."""

    def elapsed_s(self, begin: object, end: object) -> float:
        """Not needed: the host's clock tells all."""
        raise NotImplementedError("the CPU has no stream")


class EventDevice:
    """A device with streams and timed events: CUDA, and others through `torch.accelerator`.

    Raises:
        UnsupportedError: The device's backend has no timed events.
    """

    asynchronous = True

    def __init__(self, device: "torch.device") -> None:
        import torch  # noqa: PLC0415  # only a process that measures imports torch

        self._device = device
        self._module = torch.get_device_module(device)
        self.clock_name = f"{device.type} events"

    def record(self) -> object:
        """A timed event in the current stream."""
        event: object = self._module.Event(enable_timing=True)
        event.record()  # type: ignore[attr-defined]  # every backend's Event has it
        return event

    def synchronize(self) -> None:
        """Waits for every stream of the device."""
        if self._device.type == "mps":  # there is only one, and its function takes none
            self._module.synchronize()
        else:
            self._module.synchronize(self._device)

    def elapsed_s(self, begin: object, end: object) -> float:
        """Seconds between two events (`elapsed_time` gives milliseconds)."""
        return float(begin.elapsed_time(end)) / 1e3  # type: ignore[attr-defined]  # an Event


def device_clock(device: "torch.device") -> Device:
    """The clock that suits a device."""
    return HostDevice() if device.type == "cpu" else EventDevice(device)


@dataclass(frozen=True)
class Laps:
    """The laps of a block, seconds: an array (steps,) for each phase, and `step` for the whole.

    Attributes:
        host: By the host's clock.
        device: By the device's own; `None` where it is synchronous.
    """

    host: dict[str, Seconds]
    device: dict[str, Seconds] | None


class LapTimer:
    """Takes the laps of one block of training steps.

    In the loop it only notes clock readings; durations are worked out by `read`.

    Args:
        device: The device that the steps run on.
        host_ns: The host's clock, nanoseconds.
    """

    def __init__(self, device: Device, host_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._device = device
        self._host_ns = host_ns
        self._phases: list[Phase | None] = [None]
        self._host: list[int] = []
        self._events: list[object] = []
        self._steps: list[int] = []

    def begin(self) -> None:
        """Starts the first step."""
        if self._device.asynchronous:
            self._events.append(self._device.record())
        self._host.append(self._host_ns())

    def lap(self, phase: Phase) -> None:
        """Ends a lap and begins the next. A phase may have several laps in a step."""
        if self._device.asynchronous:
            self._events.append(self._device.record())
        self._host.append(self._host_ns())
        self._phases.append(phase)

    def end_step(self) -> None:
        """Ends a step where its last lap ended, and begins the next there."""
        self._steps.append(len(self._phases) - 1)

    def read(self) -> Laps:
        """The laps; waits for the device first."""
        self._device.synchronize()
        host = np.array(self._host, dtype=np.int64)
        device = None
        if self._device.asynchronous:
            pairs = zip(self._events, self._events[1:], strict=False)
            device = self._sum(np.array([self._device.elapsed_s(*pair) for pair in pairs]))
        return Laps(self._sum(np.diff(host) / 1e9), device)

    def _sum(self, durations: Seconds) -> dict[str, Seconds]:
        """Durations of single laps (laps,) to the sum per step and phase."""
        steps = len(self._steps)
        of_step = np.searchsorted(self._steps, np.arange(1, len(durations) + 1))
        inside = of_step < steps
        sums: dict[str, Seconds] = {}
        for phase in dict.fromkeys(phase for phase in self._phases if phase is not None):
            mine = inside & np.array([other is phase for other in self._phases[1:]], dtype=bool)
            sums[str(phase)] = _summed(of_step[mine], durations[mine], steps)
        sums[STEP] = _summed(of_step[inside], durations[inside], steps)
        return sums


def _summed(groups: NDArray[np.intp], durations: Seconds, count: int) -> Seconds:
    return np.bincount(groups, weights=durations, minlength=count).astype(np.float64)
