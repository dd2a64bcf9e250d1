"""Times the phases of steps in laps: a lap ends where the next one begins."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepbench.devices.clock import DeviceClock
from stepbench_reports.schema.phases import STEP, Phase

Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class LapArrays:
    """The laps of a block, seconds, by phase.

    Attributes:
        host: Durations by the host's clock: an array (steps,) for each phase, and one for the
            whole step under `step`.
        device: The same by the device's clock; `None` if the device is synchronous.
        micro: The single laps of each phase that has several laps in every step: an array (steps,
            laps), by the device's clock if it has one, else by the host's.
    """

    host: dict[str, Seconds]
    device: dict[str, Seconds] | None
    micro: dict[str, Seconds]

    @property
    def steps(self) -> Seconds:
        """The durations of whole steps (steps,), by the device's clock if it has one."""
        return (self.device or self.host)[STEP]


class LapTimer:
    """Takes the laps of one block of training steps.

    In the loop it only records clock readings; `read` computes the durations.

    Args:
        device: The clock of the device that the steps run on.
    """

    lap: Callable[[Phase], None]
    """Ends a lap and begins the next. A phase may have several laps in a step."""

    def __init__(self, device: DeviceClock) -> None:
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
        """Ends a step at the end of its last lap, where the next step begins."""
        self._steps.append(len(self._phases) - 1)

    def _noting(self) -> Callable[[Phase | None], None]:
        """Makes the function that is called at each boundary; it does as little as possible."""
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

    def read(self) -> LapArrays:
        """Synchronizes the device, and returns the laps."""
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
        return LapArrays(host, device, self._micro(durations))

    def _of_phase(self) -> dict[Phase, NDArray[np.bool_]]:
        """The masks (laps,) of the laps of each phase."""
        phases = self._phases[1:]
        return {
            phase: np.array([other is phase for other in phases], dtype=bool)
            for phase in dict.fromkeys(phase for phase in phases if phase is not None)
        }

    def _of_step(self, laps: int) -> NDArray[np.intp]:
        """The index of each lap's step; laps of an unfinished step get the number of steps."""
        return np.searchsorted(self._steps, np.arange(1, laps + 1))

    def _sum(self, durations: Seconds) -> dict[str, Seconds]:
        """Sums the durations of single laps (laps,) per step, by phase and for the whole step."""
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


def join(laps: list[LapArrays]) -> LapArrays:
    """Concatenates the laps of several blocks. A phase that a block lacks has laps of 0 there."""

    def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
        names = dict.fromkeys(name for part in parts for name in part)
        return {
            name: np.concatenate([part.get(name, np.zeros_like(part[STEP])) for part in parts])
            for name in names
        }

    devices = [part.device for part in laps if part.device is not None]
    widths = [{name: laps.shape[1] for name, laps in part.micro.items()} for part in laps]
    return LapArrays(
        host=joined([part.host for part in laps]),
        device=joined(devices) if devices else None,
        micro={
            name: np.concatenate([part.micro[name] for part in laps])
            for name, width in widths[0].items()
            if all(each.get(name) == width for each in widths)
        },
    )
