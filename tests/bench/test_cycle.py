from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.clock import HostDevice, LapTimer, SynchronizedDevice
from bench.cycle import Training, evaluate, pair, parameter_count, train
from bench.errors import UsageError
from bench.phases import Phase
from bench.placement import Placement, placed
from bench.update import Update


class FakeClock:
    """Nanoseconds that pass only when something says that they do."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def passes(self, duration_ns: int) -> None:
        self.now_ns += duration_ns


class Ticking(HostDevice):
    """A host whose clock is a fake one."""

    def __init__(self, clock: FakeClock) -> None:
        self.now_ns = clock


DURATIONS = {Phase.DATALOAD: 7, Phase.FORWARD: 31, Phase.BACKWARD: 53, Phase.OPTIMIZER: 11}


class Spin(torch.autograd.Function):
    """Passes its input on; takes known times forward and backward."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, forward: Callable[[], None], back: Callable[[], None]
    ) -> Any:
        ctx.back = back
        forward()
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        ctx.back()
        return gradients[0], None, None


def spinning(clock: FakeClock, step: int) -> tuple[Training, Iterator[Any]]:
    """A training whose phases take `DURATIONS` times the step's number, exactly."""
    model = nn.Linear(2, 1)
    number = 0

    def takes(phase: Phase) -> Callable[[], None]:
        return lambda: clock.passes(DURATIONS[phase] * number)

    def batches() -> Iterator[Any]:
        nonlocal number
        for _ in range(step):
            number += 1
            takes(Phase.DATALOAD)()
            yield torch.ones(3, 2), torch.zeros(3, 1)

    def forward(inputs: Tensor) -> Any:
        return Spin.apply(model(inputs), takes(Phase.FORWARD), takes(Phase.BACKWARD))

    class Optimizer(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            takes(Phase.OPTIMIZER)()
            return super().step(closure)

    training = Training(
        model=forward,
        loss=nn.MSELoss(),
        updates={"optimizer": Update(Optimizer(model.parameters(), lr=0.1))},
        placement=Placement(torch.device("cpu")),
        autocast=nullcontext,
    )
    return training, batches()


def test_each_lap_is_read_back_exactly_and_they_add_up_to_the_step() -> None:
    clock = FakeClock()
    training, stream = spinning(clock, 4)
    timer = LapTimer(Ticking(clock))
    timer.begin()
    train(training, stream, 4, timer.lap, timer.end_step)
    laps = timer.read().host
    numbers = np.arange(1, 5)
    for phase, duration in DURATIONS.items():
        np.testing.assert_array_equal(laps[phase], duration * numbers / 1e9)
    np.testing.assert_allclose(laps["step"], sum(DURATIONS.values()) * numbers / 1e9, rtol=1e-12)
    assert set(laps) == {*DURATIONS, "step"}


def test_time_that_no_phase_is_charged_with_shows_as_a_gap() -> None:
    clock = FakeClock()
    timer = LapTimer(Ticking(clock))
    timer.begin()
    clock.passes(5)
    timer.lap(Phase.FORWARD)
    clock.passes(3)  # nobody ends this lap
    timer.end_step()
    laps = timer.read().host
    assert clock.now_ns / 1e9 - laps["step"].sum() == pytest.approx(3e-9)


def test_a_phase_may_have_several_laps_in_a_step() -> None:
    clock = FakeClock()
    timer = LapTimer(Ticking(clock))
    timer.begin()
    for phase, duration in [(Phase.FORWARD, 2), (Phase.BACKWARD, 3), (Phase.FORWARD, 4)]:
        clock.passes(duration)
        timer.lap(phase)
    timer.end_step()
    laps = timer.read().host
    assert laps["forward"].tolist() == pytest.approx([6e-9])
    assert laps["backward"].tolist() == pytest.approx([3e-9])


class FakeQueue:
    """An asynchronous device: queued work has times of its own, and overlaps with the host."""

    asynchronous = True
    clock_name = "fake events"

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.free_ns = 0
        self.released = 0

    def queue(self, duration_ns: int) -> None:
        self.free_ns = max(self.free_ns, self._clock.now_ns) + duration_ns

    def now_ns(self) -> int:
        return self._clock()

    def release(self, marks: Iterable[object]) -> None:
        self.released += len(list(marks))

    def record(self) -> object:
        return max(self.free_ns, self._clock.now_ns)

    def synchronize(self) -> None:
        self._clock.now_ns = max(self._clock.now_ns, self.free_ns)

    def elapsed_s(self, begin: object, end: object) -> float:
        assert isinstance(begin, int)
        assert isinstance(end, int)
        return (end - begin) / 1e9


def test_an_asynchronous_device_is_timed_by_its_own_clock_without_waiting_for_it() -> None:
    clock = FakeClock()
    queue = FakeQueue(clock)
    timer = LapTimer(queue)
    timer.begin()
    for _ in range(3):
        clock.passes(1)
        timer.lap(Phase.DATALOAD)
        for phase, duration in [(Phase.FORWARD, 100), (Phase.BACKWARD, 200)]:
            clock.passes(2)
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


def test_training_is_the_lesson_s_loop() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    twin = nn.Linear(3, 2)
    twin.load_state_dict(model.state_dict())
    data = [(torch.randn(4, 3), torch.randint(2, (4,))) for _ in range(5)]
    loss = nn.CrossEntropyLoss()
    training = Training(
        model=model,
        loss=loss,
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))},
        placement=Placement(torch.device("cpu")),
        autocast=nullcontext,
    )
    train(training, iter(data), 5)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    for inputs, labels in data:
        optimizer.zero_grad()
        loss(twin(inputs), labels).backward()
        optimizer.step()
    assert all(map(torch.equal, model.parameters(), twin.parameters()))


def test_nested_batches_move_whole() -> None:
    batch = {"a": [torch.ones(2), "word"], "b": (torch.zeros(1), 3)}
    moved = placed(batch, Placement(torch.device("meta")))
    assert moved["a"][0].device.type == "meta"
    assert moved["a"][1] == "word"
    assert moved["b"][1] == 3


def test_frozen_parameters_are_counted_apart() -> None:
    model = nn.Linear(3, 2)
    model.bias.requires_grad = False
    assert parameter_count(model) == (8, 6)


def test_laps_of_micro_batches_are_told_by_themselves() -> None:
    clock = FakeClock()
    training, stream = spinning(clock, 6)
    timer = LapTimer(Ticking(clock))
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


def test_gradients_that_accumulate_are_those_of_the_whole_batch() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    twin = nn.Linear(3, 2)
    twin.load_state_dict(model.state_dict())
    inputs, labels = torch.randn(12, 3), torch.randint(2, (12,))
    training = Training(
        model=model,
        loss=nn.CrossEntropyLoss(),
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=0.1))},
        placement=Placement(torch.device("cpu")),
        autocast=nullcontext,
    )
    parts = zip(torch.split(inputs, 4), torch.split(labels, 4), strict=True)
    train(replace(training, accumulate=3), parts, 1)
    whole = replace(
        training,
        model=twin,
        updates={"optimizer": Update(torch.optim.SGD(twin.parameters(), lr=0.1))},
    )
    train(whole, iter([(inputs, labels)]), 1)
    for mine, its in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, its)


def test_evaluation_is_the_lesson_s_test_loop() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2)).eval()
    data = [(torch.randn(4, 3), torch.randint(2, (4,))) for _ in range(5)]
    training = Training(
        model=model,
        loss=nn.CrossEntropyLoss(),
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=0.1))},
        placement=Placement(torch.device("cpu")),
        autocast=nullcontext,
        metric=lambda scores, right: (scores.argmax(1) == right).sum(),
    )
    clock = FakeClock()
    timer = LapTimer(Ticking(clock))
    timer.begin()
    before = [parameter.clone() for parameter in model.parameters()]
    found = evaluate(training, iter(data), 5, timer.lap, timer.end_step)
    correct = 0
    with torch.no_grad():
        for inputs, labels in data:
            correct += int((torch.max(model(inputs), 1).indices == labels).sum())
    assert found == correct
    assert not found.requires_grad
    assert list(timer.read().host) == ["dataload", "forward", "step"]
    assert all(map(torch.equal, before, model.parameters()))


def test_a_device_that_is_waited_for_shows_each_phase_by_itself() -> None:
    clock = FakeClock()
    queue = FakeQueue(clock)
    timer = LapTimer(SynchronizedDevice(queue))
    timer.begin()
    for _ in range(2):
        clock.passes(1)
        timer.lap(Phase.DATALOAD)
        for phase, duration in [(Phase.FORWARD, 100), (Phase.BACKWARD, 200)]:
            clock.passes(2)
            queue.queue(duration)
            timer.lap(phase)
        timer.end_step()
    laps = timer.read()
    assert laps.device is None
    np.testing.assert_allclose(laps.host["dataload"], [1e-9] * 2)
    np.testing.assert_allclose(laps.host["forward"], [102e-9] * 2)
    np.testing.assert_allclose(laps.host["backward"], [202e-9] * 2)


def test_marks_are_given_back_once_they_are_read() -> None:
    clock = FakeClock()
    queue = FakeQueue(clock)
    timer = LapTimer(queue)
    timer.begin()
    timer.lap(Phase.FORWARD)
    timer.end_step()
    timer.read()
    assert queue.released == 2


def test_images_are_laid_out_with_the_channels_last_and_labels_left_alone() -> None:
    placement = Placement(torch.device("cpu"), channels_last=True)
    images, labels = placed((torch.ones(2, 3, 4, 4), torch.zeros(2)), placement)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.is_contiguous()


class Keywords(nn.Module):
    """Takes its inputs by name and gives its loss, as language models of libraries do."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": nn.functional.mse_loss(self.linear(values), labels)}


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, left: Tensor, right: Tensor) -> Any:
        return self.linear(left + right)


@pytest.mark.parametrize("loop", [train, evaluate])
def test_a_model_may_take_a_mapping_and_give_its_loss(loop: Any) -> None:
    model = Keywords()
    batch = {"values": torch.ones(3, 2), "labels": torch.zeros(3, 1)}
    training = split_training(model, lambda given: (given, None), lambda output, _: output["loss"])
    assert loop(training, iter([batch] * 4), 4) > 0


def test_a_tuple_of_inputs_are_positional_arguments() -> None:
    model = TwoInputs()
    batch = (torch.ones(3, 2), torch.ones(3, 2), torch.zeros(3, 1))
    training = split_training(model, lambda given: ((given[0], given[1]), given[2]), nn.MSELoss())
    assert train(training, iter([batch] * 2), 2) > 0


@pytest.mark.parametrize("batch", [{"a": 1, "b": 2}, torch.ones(2, 3), (1, 2, 3)])
def test_a_batch_that_is_no_pair_says_what_to_do(batch: Any) -> None:
    training = split_training(nn.Linear(2, 1), pair, nn.MSELoss())
    with pytest.raises(UsageError, match="give split="):
        train(training, iter([batch]), 1)


def test_tuples_stay_tuples_in_place() -> None:
    Named = namedtuple("Named", ["x", "y"])  # noqa: PYI024  # as torch's own are
    placement = Placement(torch.device("cpu"))
    found = placed((torch.ones(1), [Named(torch.ones(2), "word")]), placement)
    assert isinstance(found, tuple)
    assert isinstance(found[1][0], Named)


def split_training(model: nn.Module, split: Any, loss: Any) -> Training:
    return Training(
        model=model,
        loss=loss,
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=0.01))},
        placement=Placement(torch.device("cpu")),
        autocast=nullcontext,
        split=split,
    )
