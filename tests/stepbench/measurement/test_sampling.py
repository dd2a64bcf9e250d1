from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn

from stepbench.devices.clock import HostClock
from stepbench.interference.watch import Disturbance
from stepbench.measurement.sampling import (
    AGAIN_BLOCKS,
    LEAST_BLOCKS,
    Samples,
    block_size,
    may_repeat,
    sample,
    why_stop,
)
from stepbench.measurement.subject import Repeated, Subject
from stepbench.measurement.warm_up import warm_up
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.loop import evaluate, train
from stepbench.training.training import Training
from stepbench.training.update import Update
from stepbench_reports.schema.run import SamplingOptions


def subject(**changes: Any) -> Subject:
    model = nn.Linear(2, 1)
    training = Training(
        model=model,
        loss=nn.MSELoss(),
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=0.0))},
        placement=DeviceTransfer(torch.device("cpu")),
        autocast=nullcontext,
    )
    source = Repeated((torch.ones(4, 2), torch.zeros(4, 1)))
    whole: dict[str, Any] = {
        "loop": train, "training": training, "source": source, "clock": HostClock(),
    }  # fmt: skip
    return Subject(**{**whole, **changes})


@dataclass
class FakeWatch:
    """Says of each block in turn whether it was disturbed."""

    disturbed: Iterator[bool]
    begun: int = 0
    said: list[bool] = field(default_factory=list)

    def begin(self) -> None:
        self.begun += 1

    def end(self) -> Disturbance:
        self.said.append(next(self.disturbed))
        return Disturbance(
            others=1.0 if self.said[-1] else 0.0, steal=None, pressure=None, cpu_per_wall=1.0,
            involuntary_switches=0, clock_hz=None, throttled=None,
        )  # fmt: skip


def sampled(watch: FakeWatch, sampling: SamplingOptions, told: list[str] | None = None) -> Samples:
    whole = subject()
    report = (told if told is not None else []).append
    return sample(whole, sampling, watch, whole.clock, ready=0, step_s=1e-4, report=report)


def forever(value: bool) -> Iterator[bool]:
    while True:
        yield value


def test_a_quiet_machine_sets_nothing_aside() -> None:
    found = sampled(FakeWatch(forever(value=False)), SamplingOptions(steps=20))
    assert [block.kind for block in found.blocks] == ["lapped", "bare"]
    assert found.noise.set_aside == 0
    assert not found.noise.disturbed
    assert len(found.laps.steps) == 20


def test_disturbed_blocks_are_measured_again_and_their_laps_left_out() -> None:
    # The first lapped block, and the second bare one, once each.
    watch = FakeWatch(iter([True, False, True, False]))
    told: list[str] = []
    found = sampled(watch, SamplingOptions(steps=20), told)
    assert [block.kind for block in found.blocks] == ["lapped", "bare"]
    assert [(each.kind, each.kept) for each in found.noise.blocks] == [
        ("lapped", False), ("lapped", True), ("bare", False), ("bare", True),
    ]  # fmt: skip
    assert found.noise.set_aside == 2
    assert not found.noise.disturbed
    assert len(found.laps.steps) == 20
    assert told[-1] == "sampling (2 disturbed blocks set aside)"


def test_a_case_much_of_which_was_set_aside_is_marked_though_what_counts_was_calm() -> None:
    watch = FakeWatch(iter([True, True, True, False, False]))
    found = sampled(watch, SamplingOptions(steps=20))
    assert found.noise.set_aside == 3
    assert found.noise.disturbed


def test_when_nothing_else_is_to_be_had_the_case_is_marked_disturbed() -> None:
    found = sampled(FakeWatch(forever(value=True)), SamplingOptions(steps=20, max_time_s=60))
    assert found.noise.disturbed
    assert found.noise.set_aside == LEAST_BLOCKS * AGAIN_BLOCKS + AGAIN_BLOCKS
    assert [block.kind for block in found.blocks] == ["lapped", "bare"]
    assert len(found.laps.steps) == 20


def test_measuring_again_is_bounded_in_time_and_number() -> None:
    sampling = SamplingOptions(max_time_s=5)
    assert may_repeat(sampling, counted=0, set_aside=0, elapsed_s=0)
    assert not may_repeat(sampling, counted=0, set_aside=0, elapsed_s=10.1)
    assert not may_repeat(sampling, counted=0, set_aside=LEAST_BLOCKS * AGAIN_BLOCKS, elapsed_s=0)


def test_blocks_consume_many_times_what_the_loader_keeps_ready() -> None:
    assert block_size(SamplingOptions(max_time_s=60), ready=4, step_s=0.1) == 32
    assert block_size(SamplingOptions(max_time_s=60), ready=0, step_s=0.001) == 200
    assert block_size(SamplingOptions(max_time_s=6), ready=0, step_s=10) == 1
    assert block_size(SamplingOptions(steps=3), ready=0, step_s=0.001) == 3


def test_sampling_stops_only_after_a_lapped_and_its_bare_block() -> None:
    sampling = SamplingOptions(max_time_s=1, rel_error=0.01)
    assert why_stop(sampling, 0.001, lapped=100, blocks=7, elapsed_s=9) is None
    assert why_stop(sampling, 0.001, lapped=100, blocks=8, elapsed_s=0.5) == "precise"
    assert why_stop(sampling, None, lapped=5, blocks=8, elapsed_s=0.5) is None
    assert why_stop(sampling, 0.5, lapped=100, blocks=8, elapsed_s=2) == "time"


@pytest.mark.parametrize("loop", [train, evaluate])
def test_both_loops_give_blocks_and_laps(loop: Any) -> None:
    whole = subject(loop=loop)
    assert whole.bare(3).steps == 3
    block, laps = whole.lapped(4)
    assert (block.kind, block.steps, len(laps.steps)) == ("lapped", 4, 4)
    assert laps.steps.sum() <= block.elapsed_s


def test_warm_up_ends_by_what_it_sees_or_when_its_time_is_up() -> None:
    found = warm_up(subject(), SamplingOptions(max_time_s=30))
    assert found.settled
    assert found.steps > 3
    hurried = warm_up(subject(), SamplingOptions(max_time_s=1e-9))
    assert hurried.steps == 1
    assert not hurried.settled
