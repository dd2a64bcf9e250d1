"""The gauge of NVIDIA's GPUs, on a fake NVML that refuses queries."""

import inspect
import os
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch

from stepbench.devices import nvidia_gauge
from stepbench.devices.kind import GaugeReading
from stepbench.devices.kinds import kind_of
from stepbench.interference.watch import MachineWatch

CALLED = tuple(dict.fromkeys(re.findall(r"\bnvml[A-Z]\w+", inspect.getsource(nvidia_gauge))))
"""Every function of NVML that the gauge calls."""
COUNTER = "nvmlDeviceGetViolationStatus"
REASONS = "nvmlDeviceGetCurrentClocksEventReasons"
PROCESSES = "nvmlDeviceGetComputeRunningProcesses"
FORMER_REASONS = "nvmlDeviceGetCurrentClocksThrottleReasons"
SECOND_NS = 1_000_000_000


class FakeNvml:
    """Replaces the functions of NVML that the gauge calls, on one GPU.

    Attributes:
        violation_ns: The counter of the time that heat kept the clock low.
        reasons: The bits of the reasons for a lower clock.
        now_ns: The host's time.
        pids: The processes that compute on the GPU.
    """

    def __init__(self) -> None:
        self.violation_ns = 7 * SECOND_NS
        self.reasons = 0
        self.now_ns = 0
        self.pids: list[int] = []
        self.functions = {
            "nvmlInit": lambda: None,
            "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
            "nvmlDeviceGetClockInfo": self.clock_mhz,
            COUNTER: self.violations,
            REASONS: lambda _: self.reasons,
            FORMER_REASONS: lambda _: self.reasons,
            PROCESSES: lambda _: [SimpleNamespace(pid=pid) for pid in self.pids],
        }

    def clock_mhz(self, handle: str, clock: int) -> int:
        assert (handle, clock) == ("GPU-0815", pynvml.NVML_CLOCK_SM)
        return 1980

    def violations(self, handle: str, policy: int) -> SimpleNamespace:
        assert (handle, policy) == ("GPU-0815", pynvml.NVML_PERF_POLICY_THERMAL)
        return SimpleNamespace(violationTime=self.violation_ns, referenceTime=self.now_ns // 1000)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    for name, function in fake.functions.items():
        monkeypatch.setattr(pynvml, name, function)
    properties = SimpleNamespace(uuid="0815")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(nvidia_gauge, "time", SimpleNamespace(perf_counter_ns=lambda: fake.now_ns))
    return fake


def refuse(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def refused(*_: object) -> Any:
        raise pynvml.NVMLError_NotSupported

    for name in names:
        monkeypatch.setattr(pynvml, name, refused)


def reading(nvml: FakeNvml, violation_ns: int = 0, reasons: int = 0) -> GaugeReading | None:
    """The gauge's reading of a second with violations and with reasons at its end."""
    gauge = kind_of("cuda").gauge("cuda")
    if gauge is None:
        return None
    nvml.reasons = 0x40  # before the block: this counts for nothing
    gauge.begin()
    nvml.now_ns += SECOND_NS
    nvml.violation_ns += violation_ns
    nvml.reasons = reasons
    return gauge.end()


def test_the_fake_has_every_function_that_the_gauge_calls(nvml: FakeNvml) -> None:
    assert set(CALLED) == set(nvml.functions)


@pytest.mark.parametrize(
    ("violation_ns", "reasons", "throttled"),
    [
        (0, 0, None),
        (0, 0x04, None),  # the power limit
        (SECOND_NS // 10, 0, "heat"),  # it had ended before the block did
        (SECOND_NS // 1000, 0, None),  # too short
        (0, 0x20, None),  # it has just begun
        (0, 0x88, "hardware slowdown, power brake"),
        (SECOND_NS // 10, 0x88, "hardware slowdown, heat, power brake"),
    ],
)
def test_heat_is_counted_over_the_block(
    nvml: FakeNvml, violation_ns: int, reasons: int, throttled: str | None
) -> None:
    assert reading(nvml, violation_ns, reasons) == GaugeReading(
        1.98e9, throttled, "violation counters"
    )


@pytest.mark.parametrize(
    ("reasons", "throttled"),
    [(0, None), (0x04, None), (0x20, "heat"), (0x48, "hardware slowdown, heat")],
)
@pytest.mark.parametrize("refused", [(COUNTER,), (COUNTER, REASONS)])
def test_without_the_counter_the_reasons_at_the_end_count(
    nvml: FakeNvml,
    monkeypatch: pytest.MonkeyPatch,
    refused: tuple[str, ...],
    reasons: int,
    throttled: str | None,
) -> None:
    refuse(monkeypatch, *refused)
    assert reading(nvml, SECOND_NS, reasons) == GaugeReading(
        1.98e9, throttled, "clock event reasons"
    )


def test_a_counter_that_fails_within_a_block_does_not_count(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    gauge = kind_of("cuda").gauge("cuda")
    assert gauge is not None
    gauge.begin()
    nvml.now_ns += SECOND_NS
    refuse(monkeypatch, COUNTER)
    assert gauge.end() == GaugeReading(1.98e9, None, "clock event reasons")


FULL = GaugeReading(1.98e9, "heat, power brake", "violation counters")
WITHOUT = {
    "nvmlInit": None,
    "nvmlDeviceGetHandleByUUID": None,
    "nvmlDeviceGetClockInfo": GaugeReading(None, "heat, power brake", "violation counters"),
    COUNTER: GaugeReading(1.98e9, "power brake", "clock event reasons"),
    REASONS: FULL,
    FORMER_REASONS: FULL,
    PROCESSES: FULL,
}
"""The reading of a throttled GPU by the function that NVML refuses."""


@pytest.mark.parametrize("function", CALLED)
def test_a_refused_query_takes_away_only_what_it_asks(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    refuse(monkeypatch, function)
    assert reading(nvml, SECOND_NS, 0x80) == WITHOUT[function]


@pytest.mark.parametrize("function", [name for name in CALLED if WITHOUT[name] is not None])
def test_a_function_that_an_older_pynvml_lacks_is_as_a_refused_one(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    monkeypatch.delattr(pynvml, function)
    assert reading(nvml, SECOND_NS, 0x80) == WITHOUT[function]


def test_a_gpu_that_refuses_all_queries_is_watched_without_its_state(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, *(name for name, without in WITHOUT.items() if without is not None))
    assert reading(nvml) == GaugeReading()
    watch = MachineWatch(kind_of("cuda").gauge("cuda"))
    watch.begin()
    use = watch.end()
    assert (use.clock_hz, use.throttled, use.throttling_source) == (None, None, None)


def test_throttling_within_a_block_is_reported_for_that_block_only(nvml: FakeNvml) -> None:
    watch = MachineWatch(kind_of("cuda").gauge("cuda"))
    throttled = []
    for violation_ns in (0, SECOND_NS, 0):
        watch.begin()
        nvml.now_ns += SECOND_NS
        nvml.violation_ns += violation_ns
        use = watch.end()
        assert use.throttling_source == "violation counters"
        throttled.append(use.throttled)
    assert throttled == [None, "heat", None]


def test_processes_of_another_session_are_those_of_others(nvml: FakeNvml) -> None:
    command = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE) as sibling,
        subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as stranger,
    ):
        nvml.pids = [os.getpid(), sibling.pid, stranger.pid]
        found = reading(nvml)
        # In a container NVML may list numbers that have no meaning there.
        nvml.pids.remove(os.getpid())
        unknown = reading(nvml)
        for process in (sibling, stranger):
            process.kill()
    assert found is not None
    assert unknown is not None
    assert (found.processes, unknown.processes) == (1, None)


def test_a_process_on_the_gpu_that_has_just_ended_is_nobody(nvml: FakeNvml) -> None:
    with subprocess.Popen([sys.executable, "-c", ""], start_new_session=True) as ended:
        ended.wait()
    nvml.pids = [os.getpid(), ended.pid]
    found = reading(nvml)
    assert found is not None
    assert found.processes == 0
