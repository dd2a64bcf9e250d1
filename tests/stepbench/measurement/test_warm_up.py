from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn

from stepbench.devices.clock import HostClock
from stepbench.measurement.timed_loop import RepeatedBatch, TimedLoop
from stepbench.measurement.warm_up import STEADY_WINDOWS, is_steady, warm_up
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.loop import evaluate, train
from stepbench.training.training import Training
from stepbench.training.update import Update
from stepbench_reports.schema.run import SamplingOptions


def timed_loop(loop: Any = train) -> TimedLoop:
    model = nn.Linear(2, 1)
    training = Training(
        model=model,
        loss=nn.MSELoss(),
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=0.0))},
        transfer=DeviceTransfer(torch.device("cpu")),
        autocast=nullcontext,
    )
    source = RepeatedBatch((torch.ones(4, 2), torch.zeros(4, 1)))
    return TimedLoop(loop, training, source, HostClock())


@pytest.mark.parametrize("loop", [train, evaluate])
def test_both_loops_have_blocks_and_laps(loop: Any) -> None:
    timed = timed_loop(loop)
    assert timed.bare(3).steps == 3
    block, laps = timed.lapped(4)
    assert (block.kind, block.steps, len(laps.steps)) == ("lapped", 4, 4)
    assert laps.steps.sum() <= block.elapsed_s


def test_warm_up_ends_at_the_time_limit() -> None:
    facts = warm_up(timed_loop(), SamplingOptions(max_time_s=1e-9))
    assert facts.steps >= 3  # a single step, and one window
    assert not facts.steady


def test_warm_up_ends_in_a_steady_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepbench.measurement.warm_up.is_steady", lambda windows: len(windows) > 4)
    facts = warm_up(timed_loop(), SamplingOptions(max_time_s=600))
    assert facts.steady
    assert facts.steps >= 1 + 5 * 2


@pytest.mark.parametrize(
    ("windows_s", "steady"),
    [
        ([1.0] * (STEADY_WINDOWS - 1), False),
        ([1.0] * STEADY_WINDOWS, True),
        ([9.0, *[1.0] * STEADY_WINDOWS], True),  # only the last ones matter
        ([9.0, *[1.0] * (STEADY_WINDOWS - 1)], False),
        ([1.0] * (STEADY_WINDOWS - 1) + [0.9], False),
        ([1.0] * (STEADY_WINDOWS - 1) + [0.96], True),
        ([1.0] * (STEADY_WINDOWS - 1) + [1.5], True),  # slower is no trend to shorter steps
    ],
)
def test_steps_are_steady_once_they_get_no_shorter(windows_s: list[float], steady: bool) -> None:
    assert is_steady(windows_s) is steady
