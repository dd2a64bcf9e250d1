import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from stepbench.config.case import Case
from stepbench.config.requests import ParityRequest, Request
from stepbench.parity import eager_error
from stepbench.parity import reference as reference_module
from stepbench.parity.reference import TrajectorySource, load_or_compute
from stepbench.parity.stored_tensors import load_state, load_step, save_state
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


class Box:
    """A batch of a type that stepbench does not know."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.linear(self.dropout(x) + 0.01 * torch.rand_like(x))
        return scores


def source(case: Case) -> TrajectorySource:
    workload = Workload(
        model=Net,
        dataset=Data,
        loss=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0])),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
    )
    return TrajectorySource(workload, Data(), case)


def request(case: Case, directory: Path, parity: ParityOptions) -> ParityRequest:
    case_request = Request(case, SamplingOptions(), directory)
    return ParityRequest(case_request, parity, directory / "references")


CASE = Case(workload="net", batch_size=16)


def test_a_reference_is_in_double_precision_and_taken_once(tmp_path: Path) -> None:
    three_steps = request(CASE, tmp_path, ParityOptions(steps=3))
    reference = load_or_compute(source(CASE), three_steps, 0)
    assert (reference.plan.steps, reference.plan.batch_size, reference.plan.cut) == (3, 16, None)
    step = load_step(reference.directory / "step-2.pt")
    output = step[TensorPlace(2, TensorKind.OUTPUT, "output")]
    assert output.dtype is torch.float64
    assert torch.get_default_dtype() is torch.float32
    before = {path: path.stat().st_mtime_ns for path in reference.directory.iterdir()}
    again = load_or_compute(source(CASE), three_steps, 0)
    assert again == reference
    assert before == {path: path.stat().st_mtime_ns for path in reference.directory.iterdir()}
    other = load_or_compute(source(CASE), three_steps, 1)
    assert not torch.equal(other.start()["linear.weight"], reference.start()["linear.weight"])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_eager_is_as_far_off_as_its_precision_rounds_and_agrees_with_itself(
    tmp_path: Path, precision: str
) -> None:
    case = CASE.changed(precision=precision)
    reference = load_or_compute(source(case), request(case, tmp_path, ParityOptions(steps=3)), 0)
    eager = eager_error.measure(source(case), reference, perturbed=1)
    first, second, _ = eager.runs
    assert first == second
    more = eager_error.measure(source(case), reference, perturbed=2)  # adds to the stored runs
    assert more.runs[:3] == eager.runs
    assert len(more.runs) == 4
    assert more.random == eager.random
    largest = max(first.values())
    assert largest < {"fp32": 1e-5, "bf16": 0.1}[precision]
    assert largest > {"fp32": 1e-9, "bf16": 1e-4}[precision]
    assert any("rand" in name for name in eager.random)
    assert not eager.reference_differs


class Attack:
    """Creates a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self._proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._proof,)


@pytest.mark.parametrize("load", [load_state, load_step])
def test_a_crafted_file_runs_no_code(tmp_path: Path, load: Callable[[Path], object]) -> None:
    file, proof = tmp_path / "start.pt", tmp_path / "ran"
    torch.save({"state": Attack(proof)}, file)
    with pytest.raises(ValueError, match="holds other objects than tensors"):
        load(file)
    assert not proof.exists()
    torch.load(file, weights_only=False)
    assert proof.exists()


def test_batches_of_any_type_are_drawn_anew_and_copied(tmp_path: Path) -> None:
    boxed = source(CASE)
    boxed = replace(boxed, workload=replace(boxed.workload, collate=Box))
    one_step = request(CASE, tmp_path, ParityOptions(steps=1))
    drawn = reference_module._batches(boxed, 1, 0)
    again = reference_module._batches(boxed, 1, 0)
    assert isinstance(again[0], Box)
    assert [image.tolist() for image, _ in drawn[0].items] == [
        image.tolist() for image, _ in again[0].items
    ]
    first = load_or_compute(source(CASE), one_step, 0)
    first.batches()[0][0].zero_()
    assert bool(first.batches()[0][0].any())


def test_a_reference_of_other_batches_is_computed_again(tmp_path: Path) -> None:
    class Counting(Data):
        """Ignores every seed."""

        reads = 0

        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            Counting.reads += 1
            return torch.full((4,), Counting.reads / 64), index % 2

    counting = replace(source(CASE), dataset=Counting())
    one_step = request(CASE, tmp_path, ParityOptions(steps=1))
    first = load_or_compute(counting, one_step, 0)
    written = (first.directory / "step-1.pt").read_bytes()
    second = load_or_compute(counting, one_step, 0)
    assert not torch.equal(first.batches()[0][0], second.batches()[0][0])
    assert (second.directory / "step-1.pt").read_bytes() != written


def test_a_perturbed_start_has_some_weights_off_by_a_unit_in_the_last_place(tmp_path: Path) -> None:
    wide = source(CASE)
    wide = replace(wide, workload=replace(wide.workload, model=lambda: nn.Linear(4, 1000)))
    reference = load_or_compute(source(CASE), request(CASE, tmp_path, ParityOptions(steps=1)), 5)
    state = wide.workload.model().state_dict()
    save_state(reference.directory / "start.pt", state)
    weight, perturbed = reference.start()["weight"], reference.perturbed_start(2)["weight"]
    off = (perturbed - weight).abs() / weight.abs()
    assert 0.03 < float((off > 0).float().mean()) < 0.1
    assert float(off.max()) < 3e-7
    assert torch.equal(perturbed, reference.perturbed_start(2)["weight"])
    assert not torch.equal(perturbed, reference.perturbed_start(3)["weight"])


def test_numbers_drawn_in_half_precision_are_named_as_unlike(tmp_path: Path) -> None:
    class Halved(Net):
        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.linear(x)
            return y + torch.rand_like(y)  # bf16 under autocast

    case = CASE.changed(precision="bf16")
    halved = source(case)
    halved = replace(halved, workload=replace(halved.workload, model=Halved))
    reference = load_or_compute(halved, request(case, tmp_path, ParityOptions(steps=2)), 0)
    assert eager_error.measure(halved, reference).reference_differs == ("rand_like",)


def test_a_budget_that_is_too_small_cuts_steps_and_then_the_batch(tmp_path: Path) -> None:
    case = Case(workload="net", batch_size=32)
    reference = load_or_compute(
        source(case), request(case, tmp_path, ParityOptions(steps=5, budget_s=1e-9)), 0
    )
    assert (reference.plan.steps, reference.plan.batch_size) == (2, 2)
    assert reference.plan.cut is not None
    assert "--parity-budget" in reference.plan.cut
    assert all(len(inputs) == 2 for inputs, _ in reference.batches())
    large_budget = request(case, tmp_path, ParityOptions(steps=5, budget_s=1e9))
    assert load_or_compute(source(case), large_budget, 1, reference.plan).plan == reference.plan


def test_accumulation_has_several_batches_to_a_step(tmp_path: Path) -> None:
    case = Case(workload="net", batch_size=4, accumulate=2)
    reference = load_or_compute(source(case), request(case, tmp_path, ParityOptions(steps=2)), 0)
    assert len(reference.batches()) == 4
    model, training = assemble(source(case).workload, case)
    errors = eager_error.run(model, training, "train", reference, reference.start())
    assert all(math.isfinite(error) for error in errors.values())
    assert max(errors.values()) < 1e-5
