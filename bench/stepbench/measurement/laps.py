"""Times the phases of steps in laps: a lap ends where the next one begins."""

from collections.abc import Callable
from dataclasses import dataclass

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
        marks: The expected number of boundaries of laps, for which an asynchronous device makes
            marks ready. The marks go to the stream that is current now.
    """

    lap: Callable[[Phase], None]
    """Ends a lap and begins the next. A phase may have several laps in a step."""

    def __init__(self, device: DeviceClock, marks: int = 0) -> None:
        self._device = device
        self._phases: list[Phase | None] = []
        self._host: list[int] = []
        self._events: list[object] = []
        self._steps: list[int] = []
        self._end_lap = self._make_end_lap(marks)
        self.lap = self._end_lap

    def begin(self) -> None:
        """Starts the first step."""
        self._end_lap(None)

    def end_step(self) -> None:
        """Ends a step at the end of its last lap, where the next step begins."""
        self._steps.append(len(self._phases) - 1)

    def _make_end_lap(self, marks: int) -> Callable[[Phase | None], None]:
        """Makes the function that is called at each boundary; it does as little as possible."""
        now_ns = self._device.now_ns
        add_phase, add_time = self._phases.append, self._host.append

        def synchronous(phase: Phase | None) -> None:
            add_time(now_ns())
            add_phase(phase)

        if not self._device.asynchronous:
            return synchronous
        record, add_event = self._device.recorder(marks), self._events.append

        def asynchronous(phase: Phase | None) -> None:
            add_event(record())
            add_time(now_ns())
            add_phase(phase)

        return asynchronous

    def read(self) -> LapArrays:
        """Synchronizes the device, and returns the laps."""
        self._device.synchronize()
        times_ns: NDArray[np.int64] = np.array(self._host, dtype=np.int64)
        durations: Seconds = (times_ns[1:] - times_ns[:-1]) / 1e9
        host, device = self._sum(durations), None
        if self._device.asynchronous:
            pairs = zip(self._events, self._events[1:], strict=False)
            durations = np.array([self._device.elapsed_s(*pair) for pair in pairs])
            device = self._sum(durations)
            self._device.release(self._events)
            self._events.clear()
        return LapArrays(host, device, self._micro_laps(durations))

    def _phase_masks(self) -> dict[Phase, NDArray[np.bool_]]:
        """The masks (laps,) of the laps of each phase."""
        phases = self._phases[1:]
        return {
            phase: np.array([other is phase for other in phases], dtype=bool)
            for phase in dict.fromkeys(phase for phase in phases if phase is not None)
        }

    def _lap_steps(self, laps: int) -> NDArray[np.intp]:
        """The index of each lap's step; laps of an unfinished step get the number of steps."""
        return np.searchsorted(self._steps, np.arange(1, laps + 1))

    def _sum(self, durations: Seconds) -> dict[str, Seconds]:
        """Sums the durations of single laps (laps,) per step, by phase and for the whole step."""
        steps = len(self._steps)
        lap_steps = self._lap_steps(len(durations))
        in_steps = lap_steps < steps
        sums: dict[str, Seconds] = {}
        for phase, of_phase in self._phase_masks().items():
            selected = in_steps & of_phase
            sums[str(phase)] = _group_sums(lap_steps[selected], durations[selected], steps)
        sums[STEP] = _group_sums(lap_steps[in_steps], durations[in_steps], steps)
        return sums

    def _micro_laps(self, durations: Seconds) -> dict[str, Seconds]:
        """Durations (laps,) of the phases that have several laps in every step: (steps, laps)."""
        steps = len(self._steps)
        lap_steps = self._lap_steps(len(durations))
        micro: dict[str, Seconds] = {}
        for phase, of_phase in self._phase_masks().items():
            selected = of_phase & (lap_steps < steps)
            counts = set(np.bincount(lap_steps[selected], minlength=steps).tolist())
            if len(counts) == 1 and max(counts) > 1:
                micro[str(phase)] = durations[selected].reshape(steps, -1)
        return micro


def _group_sums(groups: NDArray[np.intp], durations: Seconds, count: int) -> Seconds:
    return np.bincount(groups, weights=durations, minlength=count).astype(np.float64)
