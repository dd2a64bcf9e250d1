from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stepbench.devices.clock import HostClock
from stepbench.measurement.launch_overhead import launch_overhead
from stepbench.measurement.subject import Repeated, Subject
from stepbench.training.batch import cut
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.loop import train
from stepbench.training.training import Training
from stepbench.training.update import Update


class FakeHost(HostClock):
    """A host whose clock passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0
        self.now_ns = lambda: self.now


class Model(nn.Module):
    """Takes 1,000 ns, and 10 ns for each sample; refuses fewer than it is told to."""

    def __init__(self, host: FakeHost, least: int = 1) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)
        self.host = host
        self.least = least

    def forward(self, inputs: Tensor) -> Any:
        if len(inputs) < self.least:
            raise ValueError("Expected more than 1 value per channel when training")
        self.host.now += 1_000 + 10 * len(inputs)
        return self.linear(inputs)


def subject(host: FakeHost, model: nn.Module) -> Subject:
    training = Training(
        model=model,
        loss=nn.MSELoss(),
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=0.0))},
        placement=DeviceTransfer(torch.device("cpu")),
        autocast=nullcontext,
    )
    return Subject(train, training, Repeated(None), host)


BATCH = (torch.ones(32, 2), torch.zeros(32, 1))


@pytest.mark.parametrize(("least", "size"), [(1, 1), (2, 2), (3, 4)])
def test_what_a_sample_costs_is_taken_off(least: int, size: int) -> None:
    host = FakeHost()
    laps = {"forward": (1_000 + 10 * 32) / 1e9, "backward": 0.0}
    found = launch_overhead(subject(host, Model(host, least)), BATCH, 32, laps)
    assert found.batch_size == size
    assert found.forward_s == pytest.approx(1_000 / 1e9)
    assert found.backward_s == 0
    assert found.reason is None


def test_a_model_that_takes_no_small_batch_has_no_figure_and_a_reason() -> None:
    host = FakeHost()
    found = launch_overhead(
        subject(host, Model(host, 8)), BATCH, 32, {"forward": 1.0, "backward": 1.0}
    )
    assert found.forward_s is None
    assert "refuses 4 of 32 samples: Expected more than 1 value" in (found.reason or "")


def test_a_batch_that_cannot_be_cut_has_a_reason() -> None:
    host = FakeHost()
    whole = subject(host, Model(host))
    assert "batch of 1" in (launch_overhead(whole, BATCH, 1, {}).reason or "")
    odd = (torch.ones(5, 2), torch.zeros(5, 1))
    assert "first dimension" in (launch_overhead(whole, odd, 32, {}).reason or "")


def test_cutting_reaches_into_mappings_and_sequences() -> None:
    batch = {"x": [torch.arange(8), "name"], "y": (torch.ones(8, 3), torch.tensor(2.0))}
    small = cut(batch, 8, 2)
    assert small["x"][0].tolist() == [0, 1]
    assert small["x"][1] == "name"
    assert small["y"][0].shape == (2, 3)
    assert small["y"][1].shape == ()
