"""The clock of a device with streams and events, on a fake module of torch."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from stepbench.devices.clock import EventClock, SynchronizedClock
from stepbench.devices.kinds import kind_of
from stepbench.measurement.laps import LapTimer
from stepbench_reports.schema.phases import Phase


class FakeStream:
    """A stream that has done all its work when the device's time is `free_ms`."""

    def __init__(self) -> None:
        self.free_ms = 0.0

    def queue(self, duration_ms: float) -> None:
        self.free_ms += duration_ms

    def wait_stream(self, other: "FakeStream") -> None:
        self.free_ms = max(self.free_ms, other.free_ms)


class FakeModule:
    """Replaces `torch.cuda` or `torch.xpu`: a device with a main stream and others."""

    def __init__(self) -> None:
        self.main = self.current = FakeStream()
        self.created = 0
        self.current_stream_calls = 0
        module = self

        class Event:
            def __init__(self, *, enable_timing: bool) -> None:
                assert enable_timing
                module.created += 1
                self.streams: list[FakeStream] = []
                self.time_ms: float | None = None

            def record(self, stream: FakeStream | None = None) -> None:
                stream = stream or module.current_stream()
                self.streams.append(stream)
                self.time_ms = stream.free_ms

            def elapsed_time(self, end: "Event") -> float:
                assert self.time_ms is not None
                assert end.time_ms is not None
                return end.time_ms - self.time_ms

        self.Event = Event

    def current_stream(self, device: torch.device | None = None) -> FakeStream:
        assert device in (None, torch.device("cuda:1"))
        self.current_stream_calls += 1
        return self.current

    @contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    def synchronize(self, _: torch.device) -> None:
        pass


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> FakeModule:
    fake = FakeModule()
    monkeypatch.setattr(torch, "get_device_module", lambda _: fake)
    return fake


def test_marks_within_another_stream_s_context_are_recorded_on_the_main_stream(
    module: FakeModule,
) -> None:
    timer = LapTimer(EventClock("cuda:1"))
    side = FakeStream()
    timer.begin()
    with module.stream(side):
        side.queue(500)
        timer.lap(Phase.FORWARD)  # the main stream has had no work, and does not wait yet
        module.main.queue(100)
        timer.lap(Phase.BACKWARD)
    module.main.wait_stream(side)
    timer.lap(Phase.OPTIMIZER)
    timer.end_step()
    laps = timer.read().device
    assert laps is not None
    np.testing.assert_allclose(laps["forward"], [0.0])
    np.testing.assert_allclose(laps["backward"], [0.1])
    np.testing.assert_allclose(laps["optimizer"], [0.4])  # waits for the side stream's work
    np.testing.assert_allclose(laps["step"], [0.5])


def test_the_main_stream_is_the_one_that_is_current_when_the_block_begins(
    module: FakeModule,
) -> None:
    own = FakeStream()
    with module.stream(own):
        record = EventClock("cuda:1").recorder(0)
        own.queue(3)
        assert record().streams == [own]  # type: ignore[attr-defined]
    assert record().streams == [own]  # type: ignore[attr-defined]


def test_a_mark_neither_looks_for_the_stream_nor_creates_an_event(module: FakeModule) -> None:
    clock = EventClock("cuda:1")
    record = clock.recorder(3)
    assert (module.created, module.current_stream_calls) == (3, 1)
    marks = [record() for _ in range(3)]
    assert (module.created, module.current_stream_calls) == (3, 1)
    # Each was recorded before, since only that creates the event of the device's runtime.
    assert [len(mark.streams) for mark in marks] == [2, 2, 2]  # type: ignore[attr-defined]
    assert len({id(mark) for mark in marks}) == 3
    marks.append(record())  # one more than expected
    assert module.created == 4
    clock.release(marks)
    clock.recorder(4)
    assert module.created == 4  # all are used again


def test_a_synchronized_clock_records_by_the_device_s_clock(module: FakeModule) -> None:
    record = SynchronizedClock(EventClock("cuda:1")).recorder(1)
    assert record().streams == [module.main] * 2  # type: ignore[attr-defined]


def test_an_event_of_mps_takes_no_stream(
    module: FakeModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[tuple[object, ...]] = []
    event = type("Event", (), {"record": lambda _, *stream: recorded.append(stream)})
    monkeypatch.setattr(module, "Event", lambda **_: event())
    kind_of("mps").clock("mps").recorder(1)()
    assert recorded == [(), ()]
    assert module.current_stream_calls == 0  # older versions of torch.mps do not have it
