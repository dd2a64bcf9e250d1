"""Detects interference by other processes on the machine and by the machine's hypervisor.

The case's threads and loader workers also raise pressure and context switches. The rule therefore
uses the work of *others*: the machine's busy time minus the CPU time of this process tree, and the
stolen time, in which the hypervisor did not run the machine. The rule does not use the duration of
a block, so discarding a block cannot favour a result.
"""

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import psutil

from stepbench.devices.kind import Gauge, GaugeReading
from stepbench.interference.cpu_quota import CpuQuota
from stepbench.interference.processor_time import cpu_time_s
from stepbench.interference.suspension import (
    ClockReading,
    count_continues,
    read_clocks,
    suspension,
)
from stepbench_reports.schema.machine_use import MachineUse

MAX_OTHERS = 0.10
"""The largest share of the usable cores' time for other processes in a block that counts."""
MAX_STEAL = 0.05
"""The largest share of the usable cores' time stolen by the hypervisor in a block that counts."""
MAX_TRIES = 4
"""The maximum number of tries of a short measurement with interference."""
_PRESSURE = Path("/proc/pressure/cpu")


def interferes(use: MachineUse) -> bool:
    """Returns true if a block with this use of the machine must be measured again."""
    return (
        (use.others or 0.0) > MAX_OTHERS
        or (use.steal or 0.0) > MAX_STEAL
        or use.throttled is not None
        or use.suspended is not None
    )


class Watch(Protocol):
    """Observes the machine during a block."""

    def begin(self) -> None:
        """Starts observing a block."""
        ...

    def end(self) -> MachineUse:
        """Stops observing the block and returns the use of the machine during the block."""
        ...


Result = TypeVar("Result")


def until_quiet(watch: Watch, measure: Callable[[], Result]) -> tuple[Result, bool]:
    """Repeats a short measurement until the machine is quiet, at most `MAX_TRIES` times.

    Returns:
        The result of the last try, and true if the machine was quiet during the last try.
    """
    tries = 0
    while True:
        watch.begin()
        result = measure()
        quiet = not interferes(watch.end())
        tries += 1
        if quiet or tries == MAX_TRIES:
            return result, quiet


@dataclass(frozen=True)
class _Reading:
    """The system's counters at one moment, seconds; core times are sums over the usable cores."""

    wall_s: float
    idle_s: float
    steal_s: float
    tree_s: float
    pressure_s: float | None
    switches: int
    clocks: ClockReading
    quota_stopped_s: float | None


class MachineWatch:
    """Reads the system's counters before and after a block; a reading takes less than 1 ms.

    Args:
        gauge: Reads the accelerator's state; `None` if there is no state to read.
    """

    def __init__(self, gauge: Gauge | None = None) -> None:
        self._cores = usable_cores()
        self._gauge = gauge
        count_continues()
        self._quota = CpuQuota()
        self.list_processes()
        self.begin()

    def list_processes(self) -> None:
        """Lists the processes of this process tree, whose work is not interference.

        To be called again once processes of the tree have started or ended.
        """
        self._child_pids = [child.pid for child in psutil.Process().children(recursive=True)]

    def begin(self) -> None:
        """Takes the first reading."""
        if self._gauge is not None:
            self._gauge.begin()
        self._first = self._read()

    def end(self) -> MachineUse:
        """Takes the second reading and returns the differences from the first reading."""
        first, last = self._first, self._read()
        wall_s = last.wall_s - first.wall_s
        cores_s = wall_s * len(self._cores)
        steal_s, tree_s = last.steal_s - first.steal_s, last.tree_s - first.tree_s
        busy_s = cores_s - (last.idle_s - first.idle_s) - steal_s
        device = GaugeReading() if self._gauge is None else self._gauge.end()
        return MachineUse(
            others=max(0.0, busy_s - tree_s) / cores_s,
            steal=max(0.0, steal_s) / cores_s,
            pressure=_rate(first.pressure_s, last.pressure_s, wall_s),
            cpu_per_wall=tree_s / wall_s,
            involuntary_switches=last.switches - first.switches,
            clock_hz=device.clock_hz,
            throttled=device.throttled,
            throttling_source=device.throttling_source,
            suspended=suspension(first.clocks, last.clocks),
            quota_stopped=_rate(first.quota_stopped_s, last.quota_stopped_s, wall_s),
            device_processes=device.processes,
        )

    def _read(self) -> _Reading:
        all_cores = psutil.cpu_times(percpu=True)
        cores = [all_cores[index] for index in self._cores]
        return _Reading(
            wall_s=time.perf_counter(),
            # Idle time is exact, while busy time is only sampled at the system's ticks.
            idle_s=sum(core.idle + getattr(core, "iowait", 0.0) for core in cores),
            steal_s=sum(getattr(core, "steal", 0.0) for core in cores),
            tree_s=time.process_time() + cpu_time_s(self._child_pids),
            pressure_s=_pressure_s(),
            switches=resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw,
            clocks=read_clocks(),
            quota_stopped_s=self._quota.stopped_s(),
        )


def _rate(first_s: float | None, last_s: float | None, wall_s: float) -> float | None:
    """The increase of a time as a share of wall time; `None` if unknown."""
    return None if first_s is None or last_s is None else (last_s - first_s) / wall_s


def usable_cores() -> list[int]:
    """Returns the numbers of the cores that this process may use, in order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(psutil.cpu_count() or 1))


def _pressure_s() -> float | None:
    """Returns the time since boot in which any task waited for a core, seconds (Linux, PSI)."""
    try:
        line = _PRESSURE.read_text().splitlines()[0]
    except (OSError, IndexError):
        return None
    return int(line.rpartition("total=")[2]) / 1e6
