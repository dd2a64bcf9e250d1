"""Clocks of devices.

The host's clock is read at each lap's end; on an asynchronous device an event is put into its
stream there as well, with no synchronization, and read after the block.
"""

import time
from collections.abc import Iterable
from typing import Any, Protocol


class DeviceClock(Protocol):
    """A clock of a device, by which time is taken."""

    asynchronous: bool
    """Whether work is queued, and so has times of its own."""
    clock_name: str
    """The name of what laps are read from, for the report."""

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


class HostClock:
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


class EventClock:
    """A device with streams and timed events: CUDA, and others through `torch.accelerator`.

    Events are used again once they have been read, since making one costs the host more than
    recording it.

    Args:
        device: The device, as torch writes it.
    """

    asynchronous = True
    now_ns = staticmethod(time.perf_counter_ns)

    def __init__(self, device: str) -> None:
        import torch  # noqa: PLC0415  # only a process that measures imports torch

        self._device = torch.device(device)
        self._module = torch.get_device_module(self._device)
        self._spare: list[object] = []
        self.clock_name = f"{self._device.type} events"

    def record(self) -> object:
        """A timed event in the current stream."""
        event: Any = self._spare.pop() if self._spare else self._module.Event(enable_timing=True)
        event.record()
        marked: object = event
        return marked

    def synchronize(self) -> None:
        """Waits for every stream of the device."""
        self._module.synchronize(self._device)

    def elapsed_s(self, begin: object, end: object) -> float:
        """Seconds between two events (`elapsed_time` gives milliseconds)."""
        return float(begin.elapsed_time(end)) / 1e3  # type: ignore[attr-defined]  # an Event

    def release(self, marks: Iterable[object]) -> None:
        """Keeps the events to be recorded again."""
        self._spare.extend(marks)


class SynchronizedClock:
    """A device that is waited for whenever the clock is read: `--sync-phases`.

    Each phase's lap is then what it costs by itself. Training overlaps phases, so these laps add up
    to more than a step takes.

    Args:
        device: The device to wait for.
    """

    asynchronous = False

    def __init__(self, device: DeviceClock) -> None:
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
