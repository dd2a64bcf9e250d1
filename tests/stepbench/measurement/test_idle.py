from types import SimpleNamespace
from typing import Any

import pytest

from stepbench.devices.clock import HostClock
from stepbench.measurement import idle


class Time:
    """A clock that only sleeping moves, and a process that is busy meanwhile for some time.

    Args:
        busy_s: The time for which the process is busy, seconds.
    """

    def __init__(self, busy_s: float) -> None:
        self.now_s = 0.0
        self._busy_s = busy_s

    def perf_counter(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def process_time(self) -> float:
        return min(self.now_s, self._busy_s)


@pytest.mark.parametrize(
    ("busy_s", "waited_s"), [(0.0, idle.IDLE_S), (0.101, 0.104), (60.0, idle.MAX_WAIT_S)]
)
def test_the_wait_lasts_until_the_process_is_idle(
    busy_s: float, waited_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = Time(busy_s)
    monkeypatch.setattr(idle, "time", time)
    idle.wait_until_idle(HostClock(), [])
    assert time.now_s == pytest.approx(waited_s, abs=1e-6 + idle.IDLE_S)


def test_the_device_and_the_workers_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time(0.0)
    seen: list[Any] = []
    monkeypatch.setattr(idle, "time", time)

    def busy(pids: Any) -> float:
        seen.append(list(pids))
        return min(time.now_s, 0.05)

    monkeypatch.setattr(idle, "cpu_time_s", busy)
    clock: Any = SimpleNamespace(synchronize=lambda: seen.append("device"))
    idle.wait_until_idle(clock, [7, 8])
    assert seen[0] == "device"
    assert all(pids == [7, 8] for pids in seen[1:])
    assert time.now_s > 0.05
