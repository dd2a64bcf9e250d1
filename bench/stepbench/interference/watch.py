"""Watches for interference: other processes on the machine, and the machine's own host.

The case's own threads and loader workers also raise pressure and switches, so the rule looks at
what *others* did: the machine's busy time less that of this process tree, and the time that the
machine was kept from running. It knows nothing of how long the block took, so discarding a block
cannot favour a result.
"""

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import psutil

from stepbench.interference.processor_time import processor_s

if TYPE_CHECKING:
    from stepbench.devices.kind import Gauge

MOST_OTHERS = 0.10
"""The share of all usable cores' time that others may be busy in an undisturbed block."""
MOST_STEAL = 0.05
"""The share of all usable cores' time that may be stolen by the machine's host in one."""
MOST_TRIES = 4
"""How often something short that was disturbed is measured, at most."""
_PRESSURE = Path("/proc/pressure/cpu")


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """The machine's state around the steps of one block. `None` where the system does not tell.

    Attributes:
        others: The share of all usable cores' time in which processes outside the tree ran.
        steal: The share of it that the machine's host gave to other machines.
        pressure: The share of wall time in which some task, of anyone's, waited for a core.
        cpu_per_wall: Processor time of the process tree per wall time.
        involuntary_switches: How often this process had to yield its core.
        clock_hz: The device's clock at the block's end (CUDA).
        throttled: Why the device runs below its clock, apart from its power limit (CUDA).
    """

    others: float | None
    steal: float | None
    pressure: float | None
    cpu_per_wall: float
    involuntary_switches: int
    clock_hz: float | None
    throttled: str | None

    @property
    def disturbed(self) -> bool:
        """Tells if the block must be measured again."""
        return (
            (self.others or 0.0) > MOST_OTHERS
            or (self.steal or 0.0) > MOST_STEAL
            or self.throttled is not None
        )


class Watch(Protocol):
    """Watches a block."""

    def begin(self) -> None:
        """A block begins now."""
        ...

    def end(self) -> Disturbance:
        """The block ends now."""
        ...


Found = TypeVar("Found")


def undisturbed(watch: Watch, measure: Callable[[], Found]) -> tuple[Found, bool]:
    """Measures something short again while it is disturbed, `MOST_TRIES` times at most.

    Returns:
        What the last try gave, and whether it went undisturbed.
    """
    tries = 0
    while True:
        watch.begin()
        found = measure()
        calm = not watch.end().disturbed
        tries += 1
        if calm or tries == MOST_TRIES:
            return found, calm


@dataclass(frozen=True)
class _Reading:
    """Counters at one moment, seconds; those of the cores are sums over the usable ones."""

    wall_s: float
    idle_s: float
    steal_s: float
    tree_s: float
    pressure_s: float | None
    switches: int


class MachineWatch:
    """Reads the system's own counters, before and after a block; a reading takes under a ms.

    Args:
        gauge: Tells the accelerator's state; `None` where there is none to tell.
    """

    def __init__(self, gauge: "Gauge | None" = None) -> None:
        self._cores = _usable_cores()
        self._tree = [child.pid for child in psutil.Process().children(recursive=True)]
        self._gauge = gauge
        self._begun = self._read()

    def begin(self) -> None:
        """Takes the first reading."""
        self._begun = self._read()

    def end(self) -> Disturbance:
        """Takes the second reading and compares."""
        first, last = self._begun, self._read()
        wall_s = last.wall_s - first.wall_s
        whole_s = wall_s * len(self._cores)
        steal_s, tree_s = last.steal_s - first.steal_s, last.tree_s - first.tree_s
        busy_s = whole_s - (last.idle_s - first.idle_s) - steal_s
        clock_hz, throttled = (None, None) if self._gauge is None else self._gauge.read()
        return Disturbance(
            others=max(0.0, busy_s - tree_s) / whole_s,
            steal=max(0.0, steal_s) / whole_s,
            pressure=None
            if first.pressure_s is None or last.pressure_s is None
            else (last.pressure_s - first.pressure_s) / wall_s,
            cpu_per_wall=tree_s / wall_s,
            involuntary_switches=last.switches - first.switches,
            clock_hz=clock_hz,
            throttled=throttled,
        )

    def _read(self) -> _Reading:
        all_cores = psutil.cpu_times(percpu=True)
        cores = [all_cores[index] for index in self._cores]
        return _Reading(
            wall_s=time.perf_counter(),
            # Idle time is exact where busy time is sampled at the system's ticks.
            idle_s=sum(core.idle + getattr(core, "iowait", 0.0) for core in cores),
            steal_s=sum(getattr(core, "steal", 0.0) for core in cores),
            tree_s=time.process_time() + processor_s(self._tree),
            pressure_s=_pressure_s(),
            switches=resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw,
        )


def _usable_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(psutil.cpu_count() or 1))


def _pressure_s() -> float | None:
    """Seconds that some task has waited for a core, since the system began (Linux, PSI)."""
    try:
        line = _PRESSURE.read_text().splitlines()[0]
    except (OSError, IndexError):
        return None
    return int(line.rpartition("total=")[2]) / 1e6
