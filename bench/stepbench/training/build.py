"""Builds, from a request, all that the training steps of a case need."""

from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import Dataset

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.devices import kinds
from stepbench.errors import UsageError
from stepbench.training import compilation, dataloader, optimizers, precision, settings
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.training import Training, split_pair
from stepbench.training.update import Update
from stepbench.workload.loading import load_requested
from stepbench.workload.workload import Workload


@dataclass(frozen=True)
class Built:
    """The model, the data and the training step of a case.

    Attributes:
        workload: The workload.
        model: The uncompiled model, on its device; `training` calls the model, compiled or not.
        training: The parts of a step.
        dataset: The training data.
        length: The number of items in `dataset`; `None` for a stream.
    """

    workload: Workload
    model: nn.Module
    training: Training
    dataset: Dataset[Any]
    length: int | None


def build(request: Request) -> Built:
    """Sets up this process for a case and builds the case.

    Raises:
        UsageError: The case asks for something that does not exist.
        UnsupportedError: This machine cannot run the case.
    """
    case = request.case
    settings.apply(request.settings)
    kinds.check(case.device)
    kinds.kind_of(case.device).require_precision(case.precision, case.device)
    kinds.select(case.device)
    compilation.use_cache(request.compile_cache)
    precision.apply(case.precision)
    workload = load_requested(request)
    torch.manual_seed(request.settings.seed)  # loading the workload may have drawn random numbers
    model, training = assemble(workload, case)
    settings.check_allocator(request.settings, case.device)
    dataset = dataloader.training_data(workload, case)
    length = dataloader.length_of(dataset, case.workload)
    dataloader.check_loader_options(case, workload, length)
    return Built(workload, model, training, dataset, length)


def assemble(workload: Workload, case: Case) -> tuple[nn.Module, Training]:
    """Builds the workload's model, and the parts of a step of the case."""
    device = torch.device(case.device)
    model = workload.model().to(device).train(case.trains)
    if case.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return model, Training(
        model=compilation.compile_model(model, case),
        loss=workload.loss or _no_loss,
        updates=updates_of(workload, model, case),
        transfer=DeviceTransfer(device, case.non_blocking, case.channels_last),
        autocast=precision.autocast(case.precision, device),
        scaler=precision.scaler(case.precision, device) if case.trains else None,
        accumulate=case.accumulate,
        metric=workload.metric,
        split=workload.split or split_pair,
        step=workload.step,
    )


def updates_of(workload: Workload, model: nn.Module, case: Case) -> dict[str, Update]:
    """Makes the updates of a model's parameters, by the names of the workload's optimizers."""
    by_name = {
        name: optimizers.with_implementation(optimizer, case.optimizer)
        for name, optimizer in workload.make_optimizers(model).items()
    }
    return {
        name: Update(optimizer, workload.clip, _scheduler_of(workload, optimizer))
        for name, optimizer in by_name.items()
    }


def _scheduler_of(workload: Workload, optimizer: Optimizer) -> LRScheduler | None:
    """Makes the learning-rate scheduler of an optimizer; `None` if the workload has none.

    Raises:
        UsageError: `schedule` does not return a factor.
    """
    schedule = workload.schedule
    if schedule is None:
        return None if workload.scheduler is None else workload.scheduler(optimizer)
    factor: object = schedule(0)
    if not isinstance(factor, Real):
        raise UsageError(
            f"Workload(schedule=...): returned {type(factor).__name__} for step 0; return the "
            f"factor of the learning rate, a number, or give Workload(scheduler=...), a function "
            f"that takes the optimizer and returns a scheduler of torch"
        )
    return LambdaLR(optimizer, schedule)


def _no_loss(_: Any, __: Any) -> Tensor:  # noqa: ANN401  # as any loss
    raise UsageError(
        "Workload(step=...): the step calls the workload's loss, but there is none; pass loss=, or "
        "compute the loss in the step"
    )
