"""The reference: eager execution in double precision on the CPU, stored on disk.

All cases that train the same workload with the same batches share one reference. They also share
eager's error in each precision, from which a case's tolerance is derived.
"""

import copy
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stepbench.config.case import Case
from stepbench.config.requests import Examination
from stepbench.measurement import launch_overhead
from stepbench.parity.randomness import InDouble
from stepbench.parity.reference_errors import Reference
from stepbench.parity.trajectory import TensorPlace, follow
from stepbench.training import batch as fixed
from stepbench.training import dataloader
from stepbench.training.batch import each_tensor
from stepbench.training.build import assemble
from stepbench.training.training import Training
from stepbench.workload.workload import Workload

LEAST_STEPS = 2
"""The least number of steps of a trajectory: the second starts from the optimizer's result."""
BUDGET_SHARE = 0.25
"""The share of the budget that the reference may take; each run of eager or the case takes less."""
MOST_BYTES = 4 * 2**30
"""The most that a reference may take on disk, bytes."""


@dataclass(frozen=True)
class Plan:
    """The extent of a trajectory.

    Attributes:
        steps: The number of steps.
        batch_size: The number of samples in each batch.
        cut: The reason for fewer steps or smaller batches than were requested; `None` if there are
            as many.
    """

    steps: int
    batch_size: int
    cut: str | None = None


@dataclass(frozen=True)
class StoredReference:
    """A reference on disk.

    Attributes:
        place: The reference's directory.
        plan: The number of steps and the batch size.
        seed: The seed of the weights, of the batches and of the steps' random numbers.
    """

    place: Path
    plan: Plan
    seed: int

    def start(self) -> dict[str, Tensor]:
        """The model's state before the first step."""
        state: dict[str, Tensor] = self._load("start")["state"]
        return state

    def shaken_start(self, number: int) -> dict[str, Tensor]:
        """The model's state before the first step, perturbed as if by rounding.

        One weight in sixteen is off by the machine epsilon of single precision, relatively. The
        effect is then about that of rounding; with all weights it would be several times as large.

        Args:
            number: The number of the perturbation; the same number gives the same state.
        """
        generator = torch.Generator().manual_seed(self.seed + number)
        unit = torch.finfo(torch.float32).eps

        def shaken(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point():
                return tensor
            drawn = torch.randint(0, 32, tensor.shape, generator=generator)
            signs = (drawn == 0).to(tensor.dtype) - (drawn == 1).to(tensor.dtype)
            return tensor * (1 + unit * signs)

        return {name: shaken(tensor) for name, tensor in self.start().items()}

    def batches(self) -> list[Any]:
        """The batches, as the data loader yields them."""
        found: list[Any] = self._load("start")["batches"]
        return found

    def compare(self, begun: Mapping[str, Tensor]) -> Reference:
        """Makes a comparison of a trajectory with this reference.

        Args:
            begun: The model's state at the start of that trajectory.
        """
        steps = (self._load(f"step-{step}") for step in range(1, self.plan.steps + 1))
        return Reference(steps, self.start(), begun)

    def _load(self, name: str) -> Any:  # noqa: ANN401  # a batch is anything
        # The file is stepbench's; it may hold batches of any type.
        return torch.load(self.place / f"{name}.pt", weights_only=False)


@dataclass(frozen=True)
class TrajectorySource:
    """The source of trajectories: a workload, its data and a case.

    Attributes:
        workload: The workload to train.
        dataset: The workload's data.
        case: The case, which gives the batches and the loop.
    """

    workload: Workload
    dataset: Any
    case: Case


def take(
    subject: TrajectorySource, asked: Examination, seed: int, like: Plan | None = None
) -> StoredReference:
    """Reads the reference of one draw of weights and batches, or computes and stores it.

    Args:
        subject: The workload, the data and the case.
        asked: The requested steps, the budget and the directory of references.
        seed: The seed of weights and batches.
        like: The plan of another draw, to be used again; `None` plans within the budget.
    """
    case = subject.case.numerics_key
    place = asked.references / case.reference.id / f"seed-{seed}"
    if (place / "plan.json").exists():
        plan = Plan(**json.loads((place / "plan.json").read_text()))
        return StoredReference(place, plan, seed)
    beside = place.with_name(f".{place.name}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    plan = _take(subject, asked, seed, beside, like)
    (beside / "plan.json").write_text(json.dumps(asdict(plan)))
    beside.replace(place)
    return StoredReference(place, plan, seed)


def _take(
    subject: TrajectorySource, asked: Examination, seed: int, place: Path, like: Plan | None
) -> Plan:
    workload, case = subject.workload, subject.case
    torch.manual_seed(seed)
    state = workload.model().state_dict()
    whole = _batches(subject, asked.parity.steps * case.accumulate, seed)
    with _in_double() as make:
        # `_plan` trains this model; the reference needs a fresh one.
        plan = like or _plan(case, asked, *make(workload, case.reference), whole[0])
        kept = [_cut(batch, case.batch_size, plan.batch_size) for batch in whole]
        kept = kept[: plan.steps * case.accumulate]
        torch.save({"state": state, "batches": kept}, place / "start.pt")
        torch.manual_seed(seed)
        model, training = make(workload, case.reference)
        model.load_state_dict(state)
        writer = _Writer(place)
        double = [each_tensor(batch, _as_double) for batch in kept]
        follow(model, training, case.loop, double, seed=seed, visit=writer.visit)
        writer.close()
    return plan


class _Writer:
    """Writes a trajectory to disk, one file for each step."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._step = 1
        self._tensors: dict[TensorPlace, Tensor] = {}

    def visit(self, place: TensorPlace, tensor: Tensor) -> None:
        if place.step != self._step:
            self.close()
            self._step, self._tensors = place.step, {}
        self._tensors[place] = tensor.detach().clone()

    def close(self) -> None:
        torch.save(self._tensors, self._place / f"step-{self._step}.pt")


@contextmanager
def _in_double() -> Iterator[Callable[[Workload, Case], tuple[nn.Module, Training]]]:
    """Yields a function that makes trainings in double precision, which run inside the context."""
    before = torch.get_default_dtype()

    def make(workload: Workload, case: Case) -> tuple[nn.Module, Training]:
        model, training = assemble(workload, case)
        model.double()
        loss = training.loss
        if isinstance(loss, nn.Module):  # the loss may have weights
            loss = copy.deepcopy(loss).double()
        return model, replace(training, loss=loss)

    try:
        torch.set_default_dtype(torch.float64)
        with InDouble():  # type: ignore[no-untyped-call]  # torch leaves it untyped
            yield make
    finally:
        torch.set_default_dtype(before)


def _as_double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _batches(subject: TrajectorySource, count: int, seed: int) -> list[Any]:
    loader = dataloader.make_loader(
        subject.workload, subject.dataset, subject.case.numerics_key, seed
    )
    stream = iter(loader)
    return [next(stream) for _ in range(count)]


def _cut(batch: Any, batch_size: int, size: int) -> Any:  # noqa: ANN401  # a batch is anything
    return batch if size == batch_size else fixed.cut(batch, batch_size, size)


# --- steps and batch size ------------------------------------------------------------------------


def _plan(
    case: Case,
    asked: Examination,
    model: nn.Module,
    training: Training,
    batch: Any,  # noqa: ANN401  # a batch is anything
) -> Plan:
    """Plans the requested steps with the whole batch if time and disk space allow, else fewer.

    The time of a step is estimated in proportion from a step on two samples. A fixed cost per step
    makes this estimate too high, which is the safe side.
    """
    budget_s = asked.parity.budget_s * BUDGET_SHARE
    alone = replace(training, accumulate=1)
    size, small = case.batch_size, None
    if case.batch_size > 2:
        small = fixed.cut(batch, case.batch_size, 2)
    if small is not None:
        with suppress(*launch_overhead.REFUSALS):  # a model may accept one batch size only
            _tried_s(model, alone, case, small, budget_s)
            size = 2
    probe = batch if size == case.batch_size else small
    sample_s = _tried_s(model, alone, case, probe, budget_s) / size * case.accumulate
    parameters = sum(parameter.numel() for parameter in model.parameters())
    by_room = max(1, MOST_BYTES // (2 * 8 * max(parameters, 1)))  # gradients and parameters
    step_s = sample_s * case.batch_size
    affordable = max(1, int(budget_s / step_s))
    steps = min(asked.parity.steps, affordable, by_room)
    if steps >= min(LEAST_STEPS, asked.parity.steps):
        why = "for want of room on disk" if steps == by_room else _within(asked)
        return Plan(steps, case.batch_size, None if steps == asked.parity.steps else why)
    steps = min(LEAST_STEPS, asked.parity.steps, by_room)
    batch_size = case.batch_size
    while batch_size > size and sample_s * batch_size * steps > budget_s:
        batch_size = max(size, batch_size // 2)
    return Plan(steps, batch_size, _within(asked))


def _tried_s(
    model: nn.Module,
    training: Training,
    case: Case,
    batch: Any,  # noqa: ANN401  # a batch is anything
    enough_s: float,
) -> float:
    """The time of a second step on a batch, seconds; of the first if that exceeds `enough_s`."""
    double = each_tensor(batch, _as_double)
    elapsed_s = 0.0
    for _ in range(2):  # the first step also allocates memory
        began = time.perf_counter()
        follow(model, training, case.loop, [double], seed=0, visit=_ignore)
        elapsed_s = time.perf_counter() - began
        if elapsed_s > enough_s:
            break
    return elapsed_s


def _within(asked: Examination) -> str:
    return f"to keep within --parity-budget {asked.parity.budget_s:g} s"


def _ignore(_: TensorPlace, __: Tensor) -> None:
    pass
