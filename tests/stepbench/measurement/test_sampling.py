from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn

from stepbench.devices.clock import HostClock
from stepbench.measurement.sampling import (
    MIN_BLOCKS,
    REPEAT_BLOCKS,
    Samples,
    block_size,
    may_repeat,
    sample,
    why_stop,
)
from stepbench.measurement.timed_loop import RepeatedBatch, TimedLoop
from stepbench.measurement.warm_up import warm_up
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.loop import evaluate, train
from stepbench.training.training import Training
from stepbench.training.update import Update
from stepbench_reports.schema.measurement import MachineUse
from stepbench_reports.schema.run import SamplingOptions


def timed_loop(**changes: Any) -> TimedLoop:
    model = nn.Linear(2, 1)
    training = Training(
        model=model,
        loss=nn.MSELoss(),
        updates={"optimizer": Update(torch.optim.SGD(model.parameters(), lr=0.0))},
        transfer=DeviceTransfer(torch.device("cpu")),
        autocast=nullcontext,
    )
    source = RepeatedBatch((torch.ones(4, 2), torch.zeros(4, 1)))
    fields: dict[str, Any] = {
        "loop": train, "training": training, "source": source, "clock": HostClock(),
    }  # fmt: skip
    return TimedLoop(**{**fields, **changes})


@dataclass
class FakeWatch:
    """Reports interference, or none, for each block in turn."""

    interference: Iterator[bool]
    begun: int = 0
    reported: list[bool] = field(default_factory=list)

    def begin(self) -> None:
        self.begun += 1

    def end(self) -> MachineUse:
        self.reported.append(next(self.interference))
        return MachineUse(
            others=1.0 if self.reported[-1] else 0.0, steal=None, pressure=None, cpu_per_wall=1.0,
            involuntary_switches=0, clock_hz=None, throttled=None,
        )  # fmt: skip


def sampled(
    watch: FakeWatch, sampling: SamplingOptions, messages: list[str] | None = None
) -> Samples:
    loop = timed_loop()
    report = (messages if messages is not None else []).append
    return sample(loop, sampling, watch, loop.clock, ready=0, step_s=1e-4, report=report)


def forever(value: bool) -> Iterator[bool]:
    while True:
        yield value


def test_no_block_is_discarded_on_a_quiet_machine() -> None:
    samples = sampled(FakeWatch(forever(value=False)), SamplingOptions(steps=20))
    assert [block.kind for block in samples.blocks] == ["lapped", "bare"]
    assert samples.noise.discarded == 0
    assert not samples.noise.interference
    assert len(samples.laps.steps) == 20


def test_blocks_with_interference_are_measured_again_and_discarded() -> None:
    # The first lapped block, and the second bare one, once each.
    watch = FakeWatch(iter([True, False, True, False]))
    messages: list[str] = []
    samples = sampled(watch, SamplingOptions(steps=20), messages)
    assert [block.kind for block in samples.blocks] == ["lapped", "bare"]
    assert [(block.kind, block.kept) for block in samples.noise.blocks] == [
        ("lapped", False), ("lapped", True), ("bare", False), ("bare", True),
    ]  # fmt: skip
    assert samples.noise.discarded == 2
    assert not samples.noise.interference
    assert len(samples.laps.steps) == 20
    assert messages[-1] == "sampling (interference; discarded blocks: 2)"


def test_a_case_with_many_discarded_blocks_is_marked() -> None:
    watch = FakeWatch(iter([True, True, True, False, False]))
    samples = sampled(watch, SamplingOptions(steps=20))
    assert samples.noise.discarded == 3
    assert samples.noise.interference


def test_a_case_with_only_interference_is_marked() -> None:
    samples = sampled(FakeWatch(forever(value=True)), SamplingOptions(steps=20, max_time_s=60))
    assert samples.noise.interference
    assert samples.noise.discarded == MIN_BLOCKS * REPEAT_BLOCKS + REPEAT_BLOCKS
    assert [block.kind for block in samples.blocks] == ["lapped", "bare"]
    assert len(samples.laps.steps) == 20


def test_repetitions_are_limited_in_time_and_number() -> None:
    sampling = SamplingOptions(max_time_s=5)
    assert may_repeat(sampling, counted=0, discarded=0, elapsed_s=0)
    assert not may_repeat(sampling, counted=0, discarded=0, elapsed_s=10.1)
    assert not may_repeat(sampling, counted=0, discarded=MIN_BLOCKS * REPEAT_BLOCKS, elapsed_s=0)


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
def test_both_loops_have_blocks_and_laps(loop: Any) -> None:
    timed = timed_loop(loop=loop)
    assert timed.bare(3).steps == 3
    block, laps = timed.lapped(4)
    assert (block.kind, block.steps, len(laps.steps)) == ("lapped", 4, 4)
    assert laps.steps.sum() <= block.elapsed_s


def test_warm_up_ends_in_a_steady_state_or_at_the_time_limit() -> None:
    facts = warm_up(timed_loop(), SamplingOptions(max_time_s=30))
    assert facts.steady
    assert facts.steps > 3
    short = warm_up(timed_loop(), SamplingOptions(max_time_s=1e-9))
    assert short.steps == 1
    assert not short.steady
