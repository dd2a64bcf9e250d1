"""Detects that the whole machine, or this container, stood still for a while.

A virtual machine that is migrated or paused, and a container that is frozen, run nothing, and no
counter in them says so. A thread that only sleeps wakes up too late then. It belongs to a process
that waits meanwhile, and not to the case, whose own stalls let it sleep and wake as before.
"""

import resource
import threading
import time
from dataclasses import dataclass
from typing import Self

from stepbench.interference.run_delay import thread_run_delay_s

TICK_S = 0.1
"""The time for which the thread sleeps, seconds; short turns end before."""
MIN_STANDSTILL_S = 0.3
"""The shortest standstill, seconds. A sleeping thread of a busy machine wakes up sooner."""


@dataclass(frozen=True)
class Moment:
    """The counters of the sleeping thread at one moment.

    Attributes:
        now_s: The time, seconds.
        run_delay_s: The time for which the thread was runnable and had no core, seconds.
        major_faults: How often the process waited for memory to be read from a disk.
    """

    now_s: float
    run_delay_s: float
    major_faults: int


def standstill_s(asleep: Moment, awake: Moment) -> float:
    """The time by which a sleep of `TICK_S` was too long, seconds, for no reason on this machine.

    Waiting for a core, or for memory, is a reason: the case may have caused it.
    """
    if awake.major_faults != asleep.major_faults:
        return 0.0
    waited_s = awake.run_delay_s - asleep.run_delay_s
    return max(0.0, awake.now_s - asleep.now_s - TICK_S - waited_s)


class StandstillWatch:
    """Watches for a standstill while a context lasts."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._longest_s = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Starts the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the thread."""
        self._ended.set()
        self._thread.join()

    @property
    def stood_still(self) -> bool:
        """True if the machine stood still; known once the context is left."""
        return self._longest_s >= MIN_STANDSTILL_S

    def _watch(self) -> None:
        ended = False
        while not ended:
            asleep = _moment()
            ended = self._ended.wait(TICK_S)
            self._longest_s = max(self._longest_s, standstill_s(asleep, _moment()))


def _moment() -> Moment:
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
    return Moment(time.perf_counter(), thread_run_delay_s() or 0.0, faults)
