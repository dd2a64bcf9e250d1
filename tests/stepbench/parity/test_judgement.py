"""Judges cases on a device that rounds as planted; it computes on the CPU, so that any has it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, cycle, repeat
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from stepbench.config.case import Case
from stepbench.config.requests import ParityRequest, Request
from stepbench.parity import eager_error
from stepbench.parity.judgement import judge
from stepbench.parity.tolerance import MAX_DEVICE_TOLERANCE
from stepbench.training.build import Built, assemble
from stepbench.training.training import Training
from stepbench.workload.workload import Workload
from stepbench_reports.schema.parity import Judgement, ParityVerdict, TensorKind
from stepbench_reports.schema.run import ParityOptions, SamplingOptions

EXACT, MORE_THAN_THE_CPU, TF32 = 23, 15, 10
"""The bits to which the device rounds the inputs and weights of its matrix products."""


class Data(Dataset[Any]):
    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(7)
        self._inputs = torch.randn(64, 8, generator=generator)

    def __len__(self) -> int:
        return len(self._inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._inputs[index], int(self._inputs[index].sum() > 0)


def rounded(value: Tensor, bits: int) -> Tensor:
    dropped = 23 - bits
    half = (1 << dropped) >> 1
    as_bits = (value.detach().view(torch.int32) + half) & ~((1 << dropped) - 1)
    return value + (as_bits.view(torch.float32) - value).detach()


class Rounding(nn.Linear):
    bits = EXACT
    scale = 1.0

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as torch names it
        if input.dtype is not torch.float32:  # the reference
            return super().forward(input)
        weight = rounded(self.weight, self.bits)
        return nn.functional.linear(rounded(input, self.bits), weight, self.bias) * self.scale


WORKLOAD = Workload(
    model=lambda: nn.Sequential(Rounding(8, 16), nn.Tanh(), Rounding(16, 2)),
    dataset=Data,
    loss=nn.CrossEntropyLoss(),
    optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.05),
)


@dataclass
class Device:
    """The planted device.

    Attributes:
        eager_bits: The bits of each run of eager, in turn.
        case_bits: The bits of the case.
        scale: The factor on each matrix product of eager.
        workload: What the device trains.
        built: The devices of the models of eager, in the order in which they were built.
    """

    eager_bits: Iterator[int] = field(default_factory=lambda: repeat(EXACT))
    case_bits: int = EXACT
    scale: float = 1.0
    workload: Workload = WORKLOAD
    built: list[str] = field(default_factory=list)

    def eager(self, workload: Workload, case: Case) -> tuple[nn.Module, Training]:
        self.built.append(case.device)
        model, training = assemble(workload, case.changed(device="cpu"))
        if case.device == "cpu":
            _plant(model, EXACT, 1.0)
        else:
            _plant(model, next(self.eager_bits), self.scale)
        return model, training

    def build(self, request: Request) -> Built:
        make = self.workload.model
        workload = replace(self.workload, model=lambda: _plant(make(), self.case_bits, 1.0))
        model, training = assemble(workload, request.case.changed(device="cpu"))
        return Built(workload, model, training, Data(), len(Data()))


def _plant(model: nn.Module, bits: int, scale: float) -> nn.Module:
    for module in model.modules():
        if isinstance(module, Rounding):
            module.bits, module.scale = bits, scale
    return model


Judge = Callable[..., Judgement]


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Judge:
    def judged(device: Device, kind: str = "cuda") -> Judgement:
        monkeypatch.setattr(eager_error, "assemble", device.eager)
        monkeypatch.setattr("stepbench.parity.judgement.build", device.build)
        case = Case(workload="net", batch_size=16).changed(device=kind)
        request = Request(case, SamplingOptions(), tmp_path)
        options = ParityOptions(steps=3, budget_s=600)
        return judge(lambda _: None, ParityRequest(request, options, tmp_path / "references"))

    return judged


def test_a_right_device_that_rounds_more_than_the_cpu_passes(judged: Judge) -> None:
    device = Device(repeat(MORE_THAN_THE_CPU), MORE_THAN_THE_CPU)
    judgement = judged(device)
    assert judgement.verdict is ParityVerdict.PASS, judgement.reason
    output = judgement.worst[TensorKind.OUTPUT]
    assert output.error is not None
    assert output.eager_error is not None
    assert judgement.rule.multiple * output.eager_error + judgement.rule.floor < output.error
    assert output.allowed == MAX_DEVICE_TOLERANCE
    assert device.built == ["cpu"] * 4 + ["cuda"] * 4


def test_a_case_that_rounds_more_than_eager_on_its_device_fails(judged: Judge) -> None:
    judgement = judged(Device(case_bits=MORE_THAN_THE_CPU))
    assert judgement.verdict is ParityVerdict.FAIL
    assert judgement.first is not None
    assert judgement.first.kind is TensorKind.OUTPUT


def test_a_device_on_which_tf32_is_left_on_fails(judged: Judge) -> None:
    judgement = judged(Device(repeat(TF32), TF32))
    assert judgement.verdict is ParityVerdict.FAIL
    assert judgement.first is not None
    assert judgement.first.allowed == MAX_DEVICE_TOLERANCE
    assert "0.0001 is allowed" in str(judgement.reason)


def test_a_device_on_which_eager_does_not_repeat_itself_cannot_be_judged(judged: Judge) -> None:
    judgement = judged(Device(chain([EXACT], cycle([TF32]))))
    assert judgement.verdict is ParityVerdict.UNDECIDED
    assert "eager execution is not reproducible on cuda: the model's output" in str(
        judgement.reason
    )


def test_a_device_on_which_eager_is_not_finite_fails(judged: Judge) -> None:
    judgement = judged(Device(scale=float("nan")))
    assert judgement.verdict is ParityVerdict.FAIL
    assert "is not finite, or is missing, already in eager fp32 on cuda" in str(judgement.reason)


def test_a_device_does_not_run_eager_on_random_numbers_of_its_own(judged: Judge) -> None:
    drawing = replace(WORKLOAD, model=lambda: nn.Sequential(nn.Dropout(0.5), WORKLOAD.model()))
    device = Device(workload=drawing)
    judgement = judged(device)
    assert judgement.verdict is ParityVerdict.UNDECIDED
    assert "on cuda cannot draw the random numbers" in str(judgement.reason)
    assert set(device.built) == {"cpu"}


def test_on_the_cpu_the_cpu_s_error_alone_counts(judged: Judge) -> None:
    device = Device(case_bits=MORE_THAN_THE_CPU)
    judgement = judged(device, "cpu")
    assert judgement.verdict is ParityVerdict.FAIL
    assert set(device.built) == {"cpu"}
    first = judgement.first
    assert first is not None
    assert first.eager_error is not None
    rule = judgement.rule
    assert first.allowed == pytest.approx(rule.multiple * first.eager_error + rule.floor)
