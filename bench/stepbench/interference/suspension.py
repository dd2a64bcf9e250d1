"""Tells if a block was suspended, so that its duration is not that of the case's work.

A case cannot cause any of the signs by waiting: a loader that sleeps, or a thread that waits for
another, counts in full.
"""

import signal
import threading
import time
from dataclasses import dataclass

from stepbench_reports.schema.machine_use import Suspension

MIN_DIFFERENCE_S = 0.05
"""The smallest difference between two clocks, seconds, that is more than an error of reading."""
MAX_READING_S, MAX_READINGS = 0.001, 5
"""Clocks are read again if reading them all took longer, at most this number of times."""


@dataclass(frozen=True)
class ClockReading:
    """The clocks at one moment.

    Attributes:
        monotonic_s: The clock that stands while the machine sleeps, and is never set, seconds.
        boot_s: The clock that goes on while the machine sleeps, seconds; `None` if there is none.
        wall_s: The wall clock, seconds.
        continues: How often this process was continued after a stop.
    """

    monotonic_s: float
    boot_s: float | None
    wall_s: float
    continues: int


def suspension(first: ClockReading, last: ClockReading) -> Suspension | None:
    """Returns how the time between two readings was suspended; `None` if it was not."""
    elapsed_s = last.monotonic_s - first.monotonic_s
    if last.continues != first.continues:
        return "process stopped"
    if first.boot_s is not None and last.boot_s is not None:
        asleep_s = (last.boot_s - first.boot_s) - elapsed_s
        if asleep_s > MIN_DIFFERENCE_S:
            return "machine suspended"
    if abs(last.wall_s - first.wall_s - elapsed_s) > MIN_DIFFERENCE_S:
        return "clock set"
    return None


def read_clocks() -> ClockReading:
    """Reads the clocks, so close together that their differences can be compared."""
    for _ in range(MAX_READINGS):
        began_s = time.monotonic()
        boot_s, wall_s = _boot_s(), time.time()
        ended_s = time.monotonic()
        if ended_s - began_s <= MAX_READING_S:
            break
    return ClockReading((began_s + ended_s) / 2, boot_s, wall_s, _continues)


def _boot_s() -> float | None:
    clock = getattr(time, "CLOCK_BOOTTIME", None)  # Linux
    return None if clock is None else time.clock_gettime(clock)


_continues = 0


def count_continues() -> None:
    """Has this process count how often it is continued after a stop, where there are such signals.

    Only the main thread can ask for it; elsewhere, and where the program itself handles the signal,
    nothing is counted.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGCONT) is signal.SIG_DFL:
        signal.signal(signal.SIGCONT, _count_continue)


def _count_continue(*_: object) -> None:
    global _continues  # noqa: PLW0603  # signals belong to the process
    _continues += 1
