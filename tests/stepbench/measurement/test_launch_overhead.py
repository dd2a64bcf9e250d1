from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stepbench.devices.clock import DeviceClock, HostClock
from stepbench.measurement.launch_overhead import launch_overhead
from stepbench.measurement.timed_loop import RepeatedBatch, TimedLoop
from stepbench.training.batch import cut
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.loop import train
from stepbench.training.training import Training
from stepbench.training.update import Update
from stepbench_reports.analysis import launches
from stepbench_reports.analysis.launches import FixedCost, Launches
from support.fake_device import FakeClock, FakeQueue


class FakeHost(HostClock):
    """A host whose clock a test sets."""

    def __init__(self) -> None:
        self.now = 0
        self.now_ns = lambda: self.now


class Model(nn.Module):
    """Takes 1,000 ns, and 10 ns for each sample; refuses fewer than `min_samples`."""

    def __init__(self, host: FakeHost, min_samples: int = 1) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)
        self.host = host
        self.min_samples = min_samples

    def forward(self, inputs: Tensor) -> Any:
        if len(inputs) < self.min_samples:
            raise ValueError("Expected more than 1 value per channel when training")
        self.host.now += 1_000 + 10 * len(inputs)
        return self.linear(inputs)


def timed_loop(host: DeviceClock, model: nn.Module) -> TimedLoop:
    training = Training(
        model=model,
        loss=nn.MSELoss(),
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=0.0))},
        transfer=DeviceTransfer(torch.device("cpu")),
        autocast=nullcontext,
    )
    return TimedLoop(train, training, RepeatedBatch(None), host)


BATCH = (torch.ones(32, 2), torch.zeros(32, 1))


@pytest.mark.parametrize(("min_samples", "size"), [(1, 1), (2, 2), (3, 4)])
def test_the_cost_of_a_sample_is_subtracted(min_samples: int, size: int) -> None:
    host = FakeHost()
    laps = {"forward": (1_000 + 10 * 32) / 1e9, "backward": 0.0}
    overhead = launch_overhead(timed_loop(host, Model(host, min_samples)), BATCH, 32, laps)
    assert overhead.batch_size == size
    assert overhead.forward_s == pytest.approx(1_000 / 1e9)
    assert overhead.backward_s == 0
    assert overhead.reason is None


def test_a_model_that_accepts_no_small_batch_has_a_reason_and_no_figure() -> None:
    host = FakeHost()
    overhead = launch_overhead(
        timed_loop(host, Model(host, 8)), BATCH, 32, {"forward": 1.0, "backward": 1.0}
    )
    assert overhead.forward_s is None
    assert "does not accept a batch of 4: Expected more than 1 value" in (overhead.reason or "")


def test_a_batch_that_cannot_be_cut_has_a_reason() -> None:
    host = FakeHost()
    loop = timed_loop(host, Model(host))
    assert "batch size is already 1" in (launch_overhead(loop, BATCH, 1, {}).reason or "")
    odd = (torch.ones(5, 2), torch.zeros(5, 1))
    assert "first dimension" in (launch_overhead(loop, odd, 32, {}).reason or "")


def test_cutting_reaches_into_mappings_and_sequences() -> None:
    batch = {"x": [torch.arange(8), "name"], "y": (torch.ones(8, 3), torch.tensor(2.0))}
    small = cut(batch, 8, 2)
    assert small["x"][0].tolist() == [0, 1]
    assert small["x"][1] == "name"
    assert small["y"][0].shape == (2, 3)
    assert small["y"][1].shape == ()


class Kernels(torch.autograd.Function):
    """Returns its input; launches in forward and in backward."""

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
        value = Kernels.apply(
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
    loop = timed_loop(device, QueueingModel(device, clock, sample_ns, waits=waits))
    loop = replace(loop, source=RepeatedBatch(BATCH))
    loop.run(3)
    laps = loop.lapped(20)[1].device
    assert laps is not None
    full_s = {phase: float(np.median(laps[phase])) for phase in ("forward", "backward")}
    overhead = launch_overhead(loop, BATCH, 32, full_s)
    fixed_s = {"forward": overhead.forward_s, "backward": overhead.backward_s}
    costs = {}
    for phase, seconds in fixed_s.items():
        assert seconds == pytest.approx(3_000 / 1e9, rel=0.1)
        costs[phase] = FixedCost(seconds or 0.0, full_s[phase], 1 / 32)
    assert launches.asynchronous(costs) == {
        phase: Launches(0.0, cost.fixed_s) if phase in hides else Launches(cost.fixed_s)
        for phase, cost in costs.items()
    }
