"""The reference: eager execution in double precision on the CPU, stored on disk.

All cases that train the same workload with the same batches share one reference. They also share
eager's error in each precision, from which a case's tolerance is derived.
"""

import copy
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from stepbench.config.case import Case
from stepbench.config.requests import ParityRequest
from stepbench.measurement import tiny_batch
from stepbench.parity.randomness import DoublePrecisionMode
from stepbench.parity.reference_errors import TrajectoryComparison
from stepbench.parity.stored_tensors import load_state, load_step, save_state, save_step
from stepbench.parity.trajectory import TensorPlace, run_trajectory
from stepbench.training import dataloader, settings
from stepbench.training.batch import cut, map_tensors
from stepbench.training.build import assemble
from stepbench.training.training import Training
from stepbench.workload.workload import Workload

MIN_STEPS = 2
"""The least number of steps of a trajectory: the second starts from the optimizer's result."""
BUDGET_SHARE = 0.25
"""The share of the budget that the reference may take; each run of eager or the case takes less."""
PLAN = "plan.json"
"""The file of a reference that is written last."""
MAX_BYTES = 4 * 2**30
"""The most that a reference may take on disk, bytes."""
DISK_SHARE = 0.2
"""The share of the free space that a reference may take: there are several, and results to come."""


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
        directory: The directory of the reference's files.
        plan: The number of steps and the batch size.
        seed: The seed of the weights, of the batches and of the steps' random numbers.
        drawn: The batches. They may be objects of any type, which no file could hold without
            running code when it is read, so each process draws them from the data loader.
    """

    directory: Path
    plan: Plan
    seed: int
    drawn: Sequence[Any] = field(compare=False, repr=False)

    def start(self) -> dict[str, Tensor]:
        """The model's state before the first step."""
        return load_state(self.directory / "start.pt")

    def perturbed_start(self, number: int) -> dict[str, Tensor]:
        """The model's state before the first step, perturbed as if by rounding.

        One weight in sixteen is off by the machine epsilon of single precision, relatively. The
        effect is then about that of rounding; with all weights it would be several times as large.

        Args:
            number: The number of the perturbation; the same number gives the same state.
        """
        generator = torch.Generator().manual_seed(self.seed + number)
        epsilon = torch.finfo(torch.float32).eps

        def perturbed(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point():
                return tensor
            numbers = torch.randint(0, 32, tensor.shape, generator=generator)
            signs = (numbers == 0).to(tensor.dtype) - (numbers == 1).to(tensor.dtype)
            return tensor * (1 + epsilon * signs)

        return {name: perturbed(tensor) for name, tensor in self.start().items()}

    def batches(self) -> list[Any]:
        """Copies of the batches, as the data loader yields them; a step may change its batch."""
        return copy.deepcopy(list(self.drawn))

    def compare(self, start: Mapping[str, Tensor]) -> TrajectoryComparison:
        """Makes a comparison of a trajectory with this reference.

        Args:
            start: The model's state at the start of that trajectory.
        """
        steps = (load_step(_step_file(self.directory, step)) for step in self._steps)
        return TrajectoryComparison(steps, self.start(), start)

    @property
    def _steps(self) -> range:
        return range(1, self.plan.steps + 1)


def _step_file(directory: Path, step: int) -> Path:
    return directory / f"step-{step}.pt"


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


def load_or_compute(
    source: TrajectorySource, request: ParityRequest, seed: int, plan: Plan | None = None
) -> StoredReference:
    """Loads the reference of a seed, or computes and stores it.

    A stored reference of other batches, as of a data set that no seed makes repeatable, is computed
    again.

    Args:
        source: The workload, the data and the case.
        request: The requested steps, the budget and the directory of references.
        seed: The seed of weights and batches.
        plan: The steps and the batch size; `None` to plan them within the budget.
    """
    case = source.case.numerics_key
    directory = request.references / case.reference.id / f"seed-{seed}"
    batches = _batches(source, request.parity.steps * case.accumulate, seed)
    with suppress(FileNotFoundError):
        stored = msgspec.json.decode((directory / PLAN).read_bytes(), type=_StoredPlan)
        planned = _planned(batches, case, stored.plan)
        if _digest(planned) == stored.digest:
            return StoredReference(directory, stored.plan, seed, planned)
        shutil.rmtree(directory)
    temporary = directory.with_name(f".{directory.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        if plan is None:
            with _double_precision() as make:
                # This model is trained; the reference needs a fresh one.
                plan = _plan(case, request, *make(source.workload, case.reference), batches[0])
        reference = StoredReference(temporary, plan, seed, _planned(batches, case, plan))
        _compute(source, reference)
        stored = _StoredPlan(plan, _digest(reference.drawn))
        (temporary / PLAN).write_bytes(msgspec.json.encode(stored))
        temporary.replace(directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # a part of it may fill the disk
        raise
    return replace(reference, directory=directory)


@dataclass(frozen=True)
class _StoredPlan:
    """The content of `PLAN`: the plan, and the digest of the batches."""

    plan: Plan
    digest: str


def _compute(source: TrajectorySource, reference: StoredReference) -> None:
    """Trains in double precision, and writes the start and the tensors of each step."""
    workload, case = source.workload, source.case
    torch.manual_seed(reference.seed)
    save_state(reference.directory / "start.pt", workload.model().state_dict())
    torch.manual_seed(reference.seed)
    with _double_precision() as make:
        model, training = make(workload, case.reference)
        model.load_state_dict(reference.start())
        writer = _Writer(reference.directory)
        double = [map_tensors(batch, _to_double) for batch in reference.batches()]
        run_trajectory(model, training, case.loop, double, seed=reference.seed, visit=writer.visit)
        writer.close()


def _planned(batches: Sequence[Any], case: Case, plan: Plan) -> list[Any]:
    """As many batches as a plan has, of the plan's size."""
    batches = batches[: plan.steps * case.accumulate]
    if plan.batch_size == case.batch_size:
        return list(batches)
    return [cut(batch, case.batch_size, plan.batch_size) for batch in batches]


def _digest(batches: Sequence[Any]) -> str:
    """A digest of the tensors of batches, by which equal batches are recognized."""
    digest = hashlib.sha256()

    def add(tensor: Tensor) -> Tensor:
        dense = tensor.to_dense() if tensor.layout is not torch.strided else tensor
        real = torch.view_as_real(dense) if dense.is_complex() else dense
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
        flat = real.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
        return tensor

    for batch in batches:
        map_tensors(batch, add)
    return digest.hexdigest()


class _Writer:
    """Writes a trajectory to disk, one file for each step."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._step = 1
        self._tensors: dict[TensorPlace, Tensor] = {}

    def visit(self, place: TensorPlace, tensor: Tensor) -> None:
        if place.step != self._step:
            self.close()
            self._step, self._tensors = place.step, {}
        self._tensors[place] = tensor.detach().clone()

    def close(self) -> None:
        save_step(_step_file(self._directory, self._step), self._tensors)


@contextmanager
def _double_precision() -> Iterator[Callable[[Workload, Case], tuple[nn.Module, Training]]]:
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
        with DoublePrecisionMode():  # type: ignore[no-untyped-call]  # torch leaves it untyped
            yield make
    finally:
        torch.set_default_dtype(before)


def _to_double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _batches(source: TrajectorySource, count: int, seed: int) -> list[Any]:
    """Draws batches; every process draws the same ones, unless the data set ignores seeds."""
    case = source.case.numerics_key
    settings.seed_generators(seed)
    loader = dataloader.make_loader(source.workload, source.dataset, case, seed)
    stream = iter(loader)
    return [next(stream) for _ in range(count)]


# --- steps and batch size ------------------------------------------------------------------------


def _plan(
    case: Case,
    request: ParityRequest,
    model: nn.Module,
    training: Training,
    batch: Any,  # noqa: ANN401  # a batch is anything
) -> Plan:
    """Plans the requested steps with the whole batch if time and disk space allow, else fewer.

    The time of a step is estimated in proportion from a step on two samples. A fixed cost per step
    makes this estimate too high, which is the safe side.
    """
    requested_steps = request.parity.steps
    budget_s = request.parity.budget_s * BUDGET_SHARE
    micro_step = replace(training, accumulate=1)
    probe, probe_size = batch, case.batch_size
    two_samples = cut(batch, case.batch_size, 2) if case.batch_size > 2 else None
    if two_samples is not None:
        with suppress(*tiny_batch.BATCH_SIZE_ERRORS):  # a model may accept one batch size only
            _step_s(model, micro_step, case, two_samples, budget_s)
            probe, probe_size = two_samples, 2
    sample_s = _step_s(model, micro_step, case, probe, budget_s) / probe_size * case.accumulate
    parameters = sum(parameter.numel() for parameter in model.parameters())
    max_bytes = min(MAX_BYTES, int(shutil.disk_usage(request.references).free * DISK_SHARE))
    max_steps_on_disk = max(1, max_bytes // (2 * 8 * max(parameters, 1)))  # gradients, parameters
    max_steps_in_budget = max(1, int(budget_s / (sample_s * case.batch_size)))
    steps = min(requested_steps, max_steps_in_budget, max_steps_on_disk)
    budget_reason = f"to keep within --parity-budget {request.parity.budget_s:g} s"
    if steps >= min(MIN_STEPS, requested_steps):
        disk_reason = f"to keep the reference within {max_bytes / 2**30:.2g} GiB on disk"
        reason = disk_reason if steps == max_steps_on_disk else budget_reason
        return Plan(steps, case.batch_size, None if steps == requested_steps else reason)
    steps = min(MIN_STEPS, requested_steps, max_steps_on_disk)
    batch_size = case.batch_size
    while batch_size > probe_size and sample_s * batch_size * steps > budget_s:
        batch_size = max(probe_size, batch_size // 2)
    return Plan(steps, batch_size, budget_reason)


def _step_s(
    model: nn.Module,
    training: Training,
    case: Case,
    batch: Any,  # noqa: ANN401  # a batch is anything
    limit_s: float,
) -> float:
    """The time of a second step on a batch, seconds; of the first if that exceeds `limit_s`."""
    double = map_tensors(batch, _to_double)
    elapsed_s = 0.0
    for _ in range(2):  # the first step also allocates memory
        began = time.perf_counter()
        run_trajectory(model, training, case.loop, [double], seed=0, visit=_ignore)
        elapsed_s = time.perf_counter() - began
        if elapsed_s > limit_s:
            break
    return elapsed_s


def _ignore(_: TensorPlace, __: Tensor) -> None:
    pass
