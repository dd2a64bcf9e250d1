import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from stepbench.interference import suspension as room
from stepbench.interference.suspension import (
    MIN_DIFFERENCE_S,
    ClockReading,
    count_continues,
    read_clocks,
    suspension,
)
from stepbench.interference.watch import MachineWatch, interferes

FIRST = ClockReading(monotonic_s=100.0, boot_s=250.0, wall_s=1_700_000_000.0, continues=1)


def later(
    elapsed_s: float, *, asleep_s: float = 0.0, set_s: float = 0.0, continues: int = 0
) -> ClockReading:
    assert FIRST.boot_s is not None
    return ClockReading(
        FIRST.monotonic_s + elapsed_s,
        FIRST.boot_s + elapsed_s + asleep_s,
        FIRST.wall_s + elapsed_s + asleep_s + set_s,
        FIRST.continues + continues,
    )


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        pytest.param(later(0.06), None, id="undisturbed"),
        pytest.param(later(3600.0), None, id="long"),
        pytest.param(later(0.06, asleep_s=MIN_DIFFERENCE_S / 2), None, id="reading-error"),
        pytest.param(later(0.06, asleep_s=1.0), "machine suspended", id="laptop-lid"),
        pytest.param(later(0.06, set_s=2.0), "clock set", id="migration"),
        pytest.param(later(0.06, set_s=-2.0), "clock set", id="set-back"),
        pytest.param(later(2.06, continues=1), "process stopped", id="stopped"),
        pytest.param(replace(later(0.06), boot_s=None), None, id="no-such-clock"),
    ],
)
def test_the_clocks_tell_how_a_block_was_suspended(
    last: ClockReading, expected: str | None
) -> None:
    assert suspension(FIRST, last) == expected


def test_real_clocks_agree() -> None:
    first = read_clocks()
    assert suspension(first, read_clocks()) is None


def test_clocks_are_read_close_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that loses its core between two clocks reads them again."""

    class Clocks:
        CLOCK_BOOTTIME = 7

        def __init__(self) -> None:
            self.now_s = 0.0
            self.delays_s = iter([1.0, 1.0])

        def monotonic(self) -> float:
            return self.now_s

        def clock_gettime(self, _: int) -> float:
            self.now_s += next(self.delays_s, 0.0)
            return self.now_s + 50.0

        def time(self) -> float:
            return self.now_s + 900.0

    monkeypatch.setattr(room, "time", Clocks())
    reading = read_clocks()
    assert (reading.monotonic_s, reading.boot_s, reading.wall_s) == (2.0, 52.0, 902.0)


@pytest.fixture
def default_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGCONT, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGCONT, before)


@pytest.mark.usefixtures("default_handler")
def test_a_process_that_was_continued_was_stopped() -> None:
    watch = MachineWatch()
    assert watch.end().suspended is None
    watch.begin()
    os.kill(os.getpid(), signal.SIGCONT)
    use = watch.end()
    assert use.suspended == "process stopped"
    assert interferes(use)
    watch.begin()
    assert watch.end().suspended is None


@pytest.mark.usefixtures("default_handler")
def test_a_program_s_own_handler_stays() -> None:
    def handle(*_: object) -> None:
        raise AssertionError

    signal.signal(signal.SIGCONT, handle)
    count_continues()
    assert signal.getsignal(signal.SIGCONT) is handle


@pytest.mark.usefixtures("default_handler")
def test_other_threads_leave_signals_alone() -> None:
    thread = threading.Thread(target=count_continues)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGCONT) is signal.SIG_DFL
