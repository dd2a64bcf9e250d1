from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stepbench.config.case import Case
from stepbench.devices.clock import DeviceClock, HostClock
from stepbench.measurement.timed_loop import RepeatedBatch, TimedLoop
from stepbench.measurement.tiny_batch import NoTinyBatchError, tiny_loop
from stepbench.training.batch import cut
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.loop import train
from stepbench.training.training import Training
from stepbench.training.update import Update
from stepbench_reports.analysis import launches
from stepbench_reports.analysis.launches import FixedCost, Launches, fixed_cost_s
from support.fake_device import FakeClock, FakeQueue, Spin

CASE = Case(workload="net", batch_size=32)
BATCH = (torch.ones(32, 2), torch.zeros(32, 1))


class Model(nn.Module):
    """Refuses fewer than `min_samples`."""

    def __init__(self, min_samples: int = 1) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)
        self.min_samples = min_samples
        self.sizes: list[int] = []

    def forward(self, inputs: Tensor) -> Any:
        if len(inputs) < self.min_samples:
            raise ValueError("Expected more than 1 value per channel\nwhen training")
        self.sizes.append(len(inputs))
        return self.linear(inputs)


def timed_loop(model: nn.Module, clock: DeviceClock | None = None) -> TimedLoop:
    training = Training(
        model=model,
        loss=nn.MSELoss(),
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=0.0))},
        transfer=DeviceTransfer(torch.device("cpu")),
        autocast=nullcontext,
    )
    return TimedLoop(train, training, RepeatedBatch(None), clock or HostClock())


@pytest.mark.parametrize(("min_samples", "size"), [(1, 1), (2, 2), (3, 4)])
def test_the_smallest_batch_that_the_model_accepts_is_taken(min_samples: int, size: int) -> None:
    model = Model(min_samples)
    tiny = tiny_loop(timed_loop(model), BATCH, CASE)
    assert tiny.size == size
    tiny.timed_loop.run(2)
    assert model.sizes == [size] * 3


def test_a_model_that_accepts_no_small_batch_has_a_reason() -> None:
    with pytest.raises(
        NoTinyBatchError,
        match="does not accept a batch of 4: Expected more than 1 value per channel when training",
    ):
        tiny_loop(timed_loop(Model(8)), BATCH, CASE)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (CASE.changed(batch_size=1), "batch size is already 1"),
        (CASE.changed(compile="default"), "would recompile"),
        (CASE.changed(batch_size=31), "first dimension"),
    ],
)
def test_a_batch_that_is_not_cut_has_a_reason(case: Case, reason: str) -> None:
    model = Model()
    with pytest.raises(NoTinyBatchError, match=reason):
        tiny_loop(timed_loop(model), BATCH, case)
    assert model.sizes == []


def test_cutting_reaches_into_mappings_and_sequences() -> None:
    batch = {"x": [torch.arange(8), "name"], "y": (torch.ones(8, 3), torch.tensor(2.0))}
    small = cut(batch, 8, 2)
    assert small["x"][0].tolist() == [0, 1]
    assert small["x"][1] == "name"
    assert small["y"][0].shape == (2, 3)
    assert small["y"][1].shape == ()


LAUNCHES = 100
LAUNCH_NS = 30


class QueueingModel(nn.Module):
    """Launches 100 kernels in forward and 100 in backward, which takes the host 3,000 ns each.

    Args:
        device: The device that the kernels are queued on.
        clock: The host's clock.
        sample_ns: A kernel's time on the device for a sample: in forward, and in backward.
        waits: If the host waits for the device before and after forward, as for a printed loss.
    """

    def __init__(
        self, device: FakeQueue, clock: FakeClock, sample_ns: tuple[int, int], *, waits: bool
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)
        self.device, self.clock, self.waits = device, clock, waits
        self.sample_ns = sample_ns

    def forward(self, inputs: Tensor) -> Any:
        if self.waits:
            self.device.synchronize()
        forward_ns, backward_ns = (len(inputs) * ns for ns in self.sample_ns)
        value = Spin.apply(
            self.linear(inputs),
            lambda: self.launch(forward_ns),
            lambda: self.launch(backward_ns),
        )
        if self.waits:
            self.device.synchronize()
        return value

    def launch(self, kernel_ns: int) -> None:
        for _ in range(LAUNCHES):
            self.clock.advance(LAUNCH_NS)
            self.device.queue(kernel_ns)


@pytest.mark.parametrize(
    ("sample_ns", "waits", "hides"),
    [
        pytest.param((2, 2), False, {"forward", "backward"}, id="device-bound"),
        pytest.param((0, 0), False, set(), id="launch-bound"),
        pytest.param((2, 0), True, {"forward"}, id="forward-hidden"),
        pytest.param((0, 2), True, {"backward"}, id="backward-hidden"),
        # The host runs ahead from one phase into the next: 3,200 ns of work, 6,000 of launches.
        pytest.param((1, 0), False, set(), id="launch-bound-in-sum"),
        # 9,600 ns of work: the device is behind throughout.
        pytest.param((0, 3), False, {"forward", "backward"}, id="device-bound-in-sum"),
    ],
)
def test_an_asynchronous_device_hides_the_launches_that_it_is_slower_than(
    sample_ns: tuple[int, int], waits: bool, hides: set[str]
) -> None:
    clock = FakeClock()
    device = FakeQueue(clock)
    loop = timed_loop(QueueingModel(device, clock, sample_ns, waits=waits), device)
    whole = replace(loop, source=RepeatedBatch(BATCH))
    tiny = tiny_loop(loop, BATCH, CASE).timed_loop
    seconds = []
    for each in (whole, tiny):
        each.run(3)
        laps = each.lapped(20)[1].device
        assert laps is not None
        seconds.append({name: float(np.median(laps[name])) for name in ("forward", "backward")})
    full_s, tiny_s = seconds
    costs = {
        phase: FixedCost(fixed_cost_s(tiny_s[phase], full_s[phase], 1, 32), full_s[phase], 1 / 32)
        for phase in full_s
    }
    for cost in costs.values():
        assert cost.fixed_s == pytest.approx(3_000 / 1e9, rel=0.1)
    assert launches.asynchronous(costs) == {
        phase: Launches(0.0, cost.fixed_s) if phase in hides else Launches(cost.fixed_s)
        for phase, cost in costs.items()
    }
