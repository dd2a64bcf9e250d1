import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from stepbench.config.case import Case
from stepbench.config.requests import Examination, Request
from stepbench.parity import eager_error, reference
from stepbench.parity.reference import TrajectorySource
from stepbench.parity.trajectory import TensorPlace
from stepbench.training.build import assemble
from stepbench.workload.workload import Workload
from stepbench_reports.schema.parity import TensorKind
from stepbench_reports.schema.run import ParityOptions, SamplingOptions


class Data(Dataset[Any]):
    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.full((4,), index / 64), index % 2


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.linear(self.dropout(x) + 0.01 * torch.rand_like(x))
        return scores


def subject(case: Case) -> TrajectorySource:
    workload = Workload(
        model=Net,
        dataset=Data,
        loss=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0])),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    )
    return TrajectorySource(workload, Data(), case)


def asked(case: Case, place: Path, parity: ParityOptions) -> Examination:
    return Examination(Request(case, SamplingOptions(), place), parity, place / "references")


CASE = Case(workload="net", batch_size=16)


def test_a_reference_is_in_double_precision_and_taken_once(tmp_path: Path) -> None:
    wanted = asked(CASE, tmp_path, ParityOptions(steps=3))
    kept = reference.take(subject(CASE), wanted, 0)
    assert (kept.plan.steps, kept.plan.batch_size, kept.plan.cut) == (3, 16, None)
    output = torch.load(kept.place / "step-2.pt", weights_only=False)[
        TensorPlace(2, TensorKind.OUTPUT, "output")
    ]
    assert output.dtype is torch.float64
    assert torch.get_default_dtype() is torch.float32
    before = {path: path.stat().st_mtime_ns for path in kept.place.iterdir()}
    again = reference.take(subject(CASE), wanted, 0)
    assert again == kept
    assert before == {path: path.stat().st_mtime_ns for path in kept.place.iterdir()}
    other = reference.take(subject(CASE), wanted, 1)
    assert not torch.equal(other.start()["linear.weight"], kept.start()["linear.weight"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_eager_is_as_far_off_as_its_precision_rounds_and_agrees_with_itself(
    tmp_path: Path, precision: str
) -> None:
    case = CASE.changed(precision=precision)
    kept = reference.take(subject(case), asked(case, tmp_path, ParityOptions(steps=3)), 0)
    own = eager_error.eager_error(subject(case), kept, shaken=1)
    first, second, _ = own.runs
    assert first == second
    more = eager_error.eager_error(subject(case), kept, shaken=2)  # goes on from what is known
    assert more.runs[:3] == own.runs
    assert len(more.runs) == 4
    assert more.random == own.random
    largest = max(first.values())
    assert largest < {"fp32": 1e-5, "bf16": 0.1}[precision]
    assert largest > {"fp32": 1e-9, "bf16": 1e-4}[precision]
    assert any("rand" in name for name in own.random)
    assert not own.unlike


def test_a_shaken_start_has_some_weights_off_by_a_unit_in_the_last_place(tmp_path: Path) -> None:
    made = subject(CASE)
    made = replace(made, workload=replace(made.workload, model=lambda: nn.Linear(4, 1000)))
    kept = reference.take(subject(CASE), asked(CASE, tmp_path, ParityOptions(steps=1)), 5)
    state = made.workload.model().state_dict()
    torch.save({"state": state, "batches": []}, kept.place / "start.pt")
    weight, shaken = kept.start()["weight"], kept.shaken_start(2)["weight"]
    off = (shaken - weight).abs() / weight.abs()
    assert 0.03 < float((off > 0).float().mean()) < 0.1
    assert float(off.max()) < 3e-7
    assert torch.equal(shaken, kept.shaken_start(2)["weight"])
    assert not torch.equal(shaken, kept.shaken_start(3)["weight"])


def test_numbers_drawn_in_half_precision_are_named_as_unlike(tmp_path: Path) -> None:
    class Halved(Net):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.linear(x)
            return y + torch.rand_like(y)  # bf16 under autocast

    case = CASE.changed(precision="bf16")
    made = subject(case)
    made = replace(made, workload=replace(made.workload, model=Halved))
    kept = reference.take(made, asked(case, tmp_path, ParityOptions(steps=2)), 0)
    assert eager_error.eager_error(made, kept).unlike == ("rand_like",)


def test_a_budget_that_is_too_small_cuts_steps_and_then_the_batch(tmp_path: Path) -> None:
    case = Case(workload="net", batch_size=32)
    kept = reference.take(
        subject(case), asked(case, tmp_path, ParityOptions(steps=5, budget_s=1e-9)), 0
    )
    assert (kept.plan.steps, kept.plan.batch_size) == (2, 2)
    assert kept.plan.cut is not None
    assert "--parity-budget" in kept.plan.cut
    assert all(len(inputs) == 2 for inputs, _ in kept.batches())
    ample = asked(case, tmp_path, ParityOptions(steps=5, budget_s=1e9))
    assert reference.take(subject(case), ample, 1, like=kept.plan).plan == kept.plan


def test_accumulation_has_several_batches_to_a_step(tmp_path: Path) -> None:
    case = Case(workload="net", batch_size=4, accumulate=2)
    kept = reference.take(subject(case), asked(case, tmp_path, ParityOptions(steps=2)), 0)
    assert len(kept.batches()) == 4
    model, training = assemble(subject(case).workload, case)
    errors = eager_error.run(model, training, "train", kept, kept.start())
    assert all(math.isfinite(error) for error in errors.values())
    assert max(errors.values()) < 1e-5
