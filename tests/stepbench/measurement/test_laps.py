"""Laps of exact durations, by a fake clock."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stepbench.devices.clock import HostClock, SynchronizedClock
from stepbench.measurement.laps import LapTimer
from stepbench.measurement.timed_loop import TimedLoop
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.loop import train
from stepbench.training.training import Training
from stepbench.training.update import Update
from stepbench_reports.schema.phases import Phase
from support.fake_device import FakeClock, FakeQueue, Spin


class FakeHostClock(HostClock):
    """A host with a fake clock."""

    def __init__(self, clock: FakeClock) -> None:
        self.now_ns = clock


DURATIONS = {Phase.DATALOAD: 7, Phase.FORWARD: 31, Phase.BACKWARD: 53, Phase.OPTIMIZER: 11}


def spinning(clock: FakeClock, step: int) -> tuple[Training, Iterator[Any]]:
    """A training whose phases take `DURATIONS` times the step's number, exactly."""
    model = nn.Linear(2, 1)
    number = 0

    def advance(phase: Phase) -> Callable[[], None]:
        return lambda: clock.advance(DURATIONS[phase] * number)

    def batches() -> Iterator[Any]:
        nonlocal number
        for _ in range(step):
            number += 1
            advance(Phase.DATALOAD)()
            yield torch.ones(3, 2), torch.zeros(3, 1)

    def forward(inputs: Tensor) -> Any:
        return Spin.apply(model(inputs), advance(Phase.FORWARD), advance(Phase.BACKWARD))

    class Optimizer(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            advance(Phase.OPTIMIZER)()
            return super().step(closure)

    training = Training(
        model=forward,
        loss=nn.MSELoss(),
        updates={"optimizer": Update(Optimizer(model.parameters(), lr=0.1))},
        transfer=DeviceTransfer(torch.device("cpu")),
        autocast=nullcontext,
    )
    return training, batches()


def test_each_lap_is_read_back_exactly_and_they_add_up_to_the_step() -> None:
    clock = FakeClock()
    training, stream = spinning(clock, 4)
    timer = LapTimer(FakeHostClock(clock))
    timer.begin()
    train(training, stream, 4, timer.lap, timer.end_step)
    laps = timer.read().host
    numbers = np.arange(1, 5)
    for phase, duration in DURATIONS.items():
        np.testing.assert_array_equal(laps[phase], duration * numbers / 1e9)
    np.testing.assert_allclose(laps["step"], sum(DURATIONS.values()) * numbers / 1e9, rtol=1e-12)
    assert set(laps) == {*DURATIONS, "step"}


def test_time_of_no_phase_is_a_gap() -> None:
    clock = FakeClock()
    timer = LapTimer(FakeHostClock(clock))
    timer.begin()
    clock.advance(5)
    timer.lap(Phase.FORWARD)
    clock.advance(3)  # nothing ends this lap
    timer.end_step()
    laps = timer.read().host
    assert clock.now_ns / 1e9 - laps["step"].sum() == pytest.approx(3e-9)


def test_a_phase_may_have_several_laps_in_a_step() -> None:
    clock = FakeClock()
    timer = LapTimer(FakeHostClock(clock))
    timer.begin()
    for phase, duration in [(Phase.FORWARD, 2), (Phase.BACKWARD, 3), (Phase.FORWARD, 4)]:
        clock.advance(duration)
        timer.lap(phase)
    timer.end_step()
    laps = timer.read().host
    assert laps["forward"].tolist() == pytest.approx([6e-9])
    assert laps["backward"].tolist() == pytest.approx([3e-9])


def test_micro_batches_have_single_laps() -> None:
    clock = FakeClock()
    training, stream = spinning(clock, 6)
    timer = LapTimer(FakeHostClock(clock))
    timer.begin()
    train(replace(training, accumulate=3), stream, 2, timer.lap, timer.end_step)
    laps = timer.read()
    numbers = np.arange(1, 7).reshape(2, 3)
    for phase in (Phase.DATALOAD, Phase.FORWARD, Phase.BACKWARD):
        expected = DURATIONS[phase] * numbers / 1e9
        np.testing.assert_allclose(laps.micro[phase], expected, rtol=1e-12)
        np.testing.assert_allclose(laps.host[phase], expected.sum(axis=1), rtol=1e-12)
    assert Phase.OPTIMIZER not in laps.micro
    optimizer = DURATIONS[Phase.OPTIMIZER] * numbers[:, -1] / 1e9
    np.testing.assert_allclose(laps.host["optimizer"], optimizer, rtol=1e-12)


def test_an_asynchronous_device_is_timed_by_the_device_s_clock_without_waiting() -> None:
    clock = FakeClock()
    queue = FakeQueue(clock)
    timer = LapTimer(queue)
    timer.begin()
    for _ in range(3):
        clock.advance(1)
        timer.lap(Phase.DATALOAD)
        for phase, duration in [(Phase.FORWARD, 100), (Phase.BACKWARD, 200)]:
            clock.advance(2)
            queue.queue(duration)
            timer.lap(phase)
        timer.end_step()
    laps = timer.read()
    assert laps.device is not None
    np.testing.assert_allclose(laps.host["step"], [5e-9] * 3)
    np.testing.assert_allclose(laps.device["backward"], [200e-9] * 3)
    # The device waits for its first work, and never again: the host runs ahead.
    np.testing.assert_allclose(laps.device["dataload"], [1e-9, 0, 0])
    np.testing.assert_allclose(laps.device["forward"], [102e-9, 100e-9, 100e-9])
    assert laps.device["step"].sum() == pytest.approx(queue.free_ns / 1e9)


def test_a_synchronized_device_shows_the_duration_of_each_phase() -> None:
    clock = FakeClock()
    queue = FakeQueue(clock)
    timer = LapTimer(SynchronizedClock(queue))
    timer.begin()
    for _ in range(2):
        clock.advance(1)
        timer.lap(Phase.DATALOAD)
        for phase, duration in [(Phase.FORWARD, 100), (Phase.BACKWARD, 200)]:
            clock.advance(2)
            queue.queue(duration)
            timer.lap(phase)
        timer.end_step()
    laps = timer.read()
    assert laps.device is None
    np.testing.assert_allclose(laps.host["dataload"], [1e-9] * 2)
    np.testing.assert_allclose(laps.host["forward"], [102e-9] * 2)
    np.testing.assert_allclose(laps.host["backward"], [202e-9] * 2)


def test_events_are_released_once_they_are_read() -> None:
    clock = FakeClock()
    queue = FakeQueue(clock)
    timer = LapTimer(queue)
    timer.begin()
    timer.lap(Phase.FORWARD)
    timer.end_step()
    timer.read()
    assert queue.released == 2


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_block_makes_ready_as_many_marks_as_it_records(accumulate: int) -> None:
    clock = FakeClock()
    queue = FakeQueue(clock)
    training, stream = spinning(clock, 7 * accumulate)
    training = replace(training, accumulate=accumulate)
    loop = TimedLoop(train, training, SimpleNamespace(batches=stream), queue)
    loop.lapped(2)  # after an untimed step, which shows the number of laps
    assert queue.expected_marks == queue.recorded == queue.released
    loop.lapped(4)
    assert queue.expected_marks == 1 + 4 * (3 * accumulate + 1)
    assert queue.released == queue.recorded
    assert next(stream, None) is None
