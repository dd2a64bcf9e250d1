"""Facts that a measurement records of the data, the model and the clock."""

import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from stepbench.devices.clock import DeviceClock
from stepbench.training.build import Built
from stepbench_reports.schema.case_facts import ClockFacts, DataFacts, ModelFacts


def parameter_count(model: nn.Module) -> tuple[int, int]:
    """Counts the elements of a model's parameters: all, and those that are trained."""
    return _all_and_trained(model, Tensor.numel)


def parameter_bytes(model: nn.Module) -> tuple[int, int]:
    """The size of a model's parameters, bytes: all, and those that are trained."""
    return _all_and_trained(model, lambda parameter: parameter.nbytes)


def _all_and_trained(model: nn.Module, size: Callable[[Tensor], int]) -> tuple[int, int]:
    """The sums of a size over a model's parameters: all, and those that are trained."""
    sizes = [(size(parameter), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)


def optimizer_bytes(optimizers: Iterable[torch.optim.Optimizer]) -> int:
    """The size of all tensors in the optimizers' states, bytes; 0 before their first step."""
    return sum(
        value.nbytes
        for optimizer in optimizers
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    )


def data_facts(built: Built) -> DataFacts:
    """The facts of the case's data."""
    source = built.workload.data
    return DataFacts(
        name=type(built.dataset).__name__ if source is None else source.name,
        origin="user" if source is None else source.origin,
        length=built.length,
    )


def model_facts(built: Built) -> ModelFacts:
    """The facts of the case's model."""
    total, trainable = parameter_count(built.model)
    total_bytes, trainable_bytes = parameter_bytes(built.model)
    updates = built.training.updates.values()
    return ModelFacts(
        name=type(built.model).__name__,
        parameters=total,
        trainable=trainable,
        parameter_bytes=total_bytes,
        trainable_bytes=trainable_bytes,
        optimizer_bytes=optimizer_bytes(update.optimizer for update in updates),
    )


def clock_facts(clock: DeviceClock) -> ClockFacts:
    """The facts of the clock that laps were read from."""
    resolution_s = time.get_clock_info("perf_counter").resolution
    return ClockFacts(name=clock.clock_name, resolution_s=resolution_s)
