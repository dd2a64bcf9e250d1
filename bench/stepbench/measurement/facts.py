"""Facts that a measurement records of the data, the model and the clock."""

import time

from torch import nn

from stepbench.devices.clock import DeviceClock
from stepbench.training.build import Built
from stepbench_reports.schema.case_facts import ClockFacts, DataFacts, ModelFacts


def parameter_count(model: nn.Module) -> tuple[int, int]:
    """Counts the elements of a model's parameters: all, and those that are trained."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)


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
    return ModelFacts(name=type(built.model).__name__, parameters=total, trainable=trainable)


def clock_facts(clock: DeviceClock) -> ClockFacts:
    """The facts of the clock that laps were read from."""
    resolution_s = time.get_clock_info("perf_counter").resolution
    return ClockFacts(name=clock.clock_name, resolution_s=resolution_s)
