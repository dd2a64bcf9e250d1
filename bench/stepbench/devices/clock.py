"""Clocks of devices.

The host's clock is read at the end of each lap. On an asynchronous device an event is also
recorded in the device's stream, without synchronization, and is read after the block.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol


class DeviceClock(Protocol):
    """A clock that times the work of a device."""

    asynchronous: bool
    """True if the device queues work, so that the work has other times than the calls."""
    clock_name: str
    """The name of the clock that laps are read from, for the report."""

    def now_ns(self) -> int:
        """Reads the host's clock, nanoseconds."""
        ...

    def recorder(self, marks: int) -> Callable[[], object]:
        """Makes the function that records a mark, without synchronization, for a block.

        All marks of the block go to the stream that is current at this call. They are thus in
        order, also those that are recorded while another stream is current.

        Args:
            marks: The expected number of marks, which are made ready here, before the block.
        """
        ...

    def synchronize(self) -> None:
        """Waits until the device has completed all queued work."""
        ...

    def elapsed_s(self, begin: object, end: object) -> float:
        """The seconds between two marks that the device has passed."""
        ...

    def release(self, marks: Iterable[object]) -> None:
        """Takes back marks that have been read, for reuse."""
        ...


class HostClock:
    """The clock of the CPU, whose work is done when a call returns: nothing is queued."""

    asynchronous = False
    clock_name = "time.perf_counter_ns"
    now_ns = staticmethod(time.perf_counter_ns)

    def recorder(self, marks: int) -> Callable[[], object]:
        """Raises `NotImplementedError`: the host's clock suffices."""
        raise NotImplementedError("the CPU has no stream")

    def synchronize(self) -> None:
        """Does nothing: no work is queued."""

    def elapsed_s(self, begin: object, end: object) -> float:
        """Raises `NotImplementedError`: the host's clock suffices."""
        raise NotImplementedError("the CPU has no stream")

    def release(self, marks: Iterable[object]) -> None:
        """Does nothing: there are no marks."""


class EventClock:
    """The clock of a device with streams and timed events, such as CUDA.

    Events are reused once they have been read, since creating an event costs the host more than
    recording one. Each is recorded in a stream that is named: without a name, the device's module
    would find the current stream in Python for each event, which costs more than the recording.

    Args:
        device: The device's name in torch: `cuda`, `cuda:1`.
    """

    asynchronous = True
    now_ns = staticmethod(time.perf_counter_ns)

    def __init__(self, device: str) -> None:
        import torch  # noqa: PLC0415  # only a process that measures imports torch

        self._device = torch.device(device)
        self._module = torch.get_device_module(self._device)
        self._free_events: list[Any] = []
        self.clock_name = f"{self._device.type} events"

    def recorder(self, marks: int) -> Callable[[], object]:
        """Makes the function that records a timed event in the stream that is now current.

        Args:
            marks: The number of events that are made ready.
        """
        stream, free_events = self._stream(), self._free_events
        while len(free_events) < marks:
            event = self._new_event()
            event.record(*stream)  # CUDA creates an event only when it is first recorded
            free_events.append(event)

        def record() -> object:
            event = free_events.pop() if free_events else self._new_event()
            event.record(*stream)
            mark: object = event
            return mark

        return record

    def _stream(self) -> tuple[object, ...]:
        """The arguments that name the current stream when an event is recorded."""
        # From the device's own module: CUDA's events of older versions of torch take any object
        # for a torch.cuda.Stream, without a check, also the torch.Stream of torch.accelerator.
        return (self._module.current_stream(self._device),)

    def _new_event(self) -> Any:  # noqa: ANN401  # each device type has its own class of events
        return self._module.Event(enable_timing=True)

    def synchronize(self) -> None:
        """Waits for all streams of the device."""
        self._module.synchronize(self._device)

    def elapsed_s(self, begin: object, end: object) -> float:
        """The seconds between two events (`elapsed_time` gives milliseconds)."""
        return float(begin.elapsed_time(end)) / 1e3  # type: ignore[attr-defined]  # an Event

    def release(self, marks: Iterable[object]) -> None:
        """Keeps the events for reuse."""
        self._free_events.extend(marks)


class SynchronizedClock:
    """A clock that synchronizes the device at each reading: `--sync-phases`.

    Each lap is then the duration of a phase alone. Training overlaps phases, so these laps add up
    to more than the duration of a step.

    Args:
        device: The clock of the device to synchronize.
    """

    asynchronous = False

    def __init__(self, device: DeviceClock) -> None:
        self._device = device
        self.clock_name = "time.perf_counter_ns, device synchronized"
        self.recorder = device.recorder
        self.synchronize = device.synchronize
        self.elapsed_s = device.elapsed_s
        self.release = device.release

    def now_ns(self) -> int:
        """Synchronizes the device, then reads the host's clock, nanoseconds."""
        self._device.synchronize()
        return self._device.now_ns()
