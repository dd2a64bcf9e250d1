from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stepbench.devices.clock import HostClock
from stepbench.measurement.launch_overhead import launch_overhead
from stepbench.measurement.timed_loop import RepeatedBatch, TimedLoop
from stepbench.training.batch import cut
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.loop import train
from stepbench.training.training import Training
from stepbench.training.update import Update


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


def timed_loop(host: FakeHost, model: nn.Module) -> TimedLoop:
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
