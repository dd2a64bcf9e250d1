"""Facts that a measurement records of its data, model and clock."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from stepbench.config.case import Case
from stepbench.devices.clock import DeviceClock
from stepbench.devices.kind import PeakMemory
from stepbench.training.build import Built
from stepbench_reports.schema import phases


def parameter_count(model: nn.Module) -> tuple[int, int]:
    """Counts a model's numbers, and those of them that are trained."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)


def data_facts(built: Built) -> dict[str, Any]:
    """The facts of the case's data."""
    source = built.workload.data
    return {
        "name": type(built.dataset).__name__ if source is None else source.name,
        "origin": "user" if source is None else source.origin,
        "length": built.length,
    }


def model_facts(built: Built) -> dict[str, Any]:
    """The facts of the case's model."""
    total, trainable = parameter_count(built.model)
    return {"name": type(built.model).__name__, "parameters": total, "trainable": trainable}


def clock_facts(clock: DeviceClock) -> dict[str, Any]:
    """The facts of the clock that laps were read from."""
    return {
        "name": clock.clock_name,
        "resolution_s": time.get_clock_info("perf_counter").resolution,
    }


def peak_facts(peak: PeakMemory) -> dict[str, int | None]:
    """A device's peak memory, as the run directory has it."""
    return {
        "device_peak_allocated_bytes": peak.allocated_bytes,
        "device_peak_reserved_bytes": peak.reserved_bytes,
    }


def with_phases(laps: Mapping[str, Any] | None, case: Case) -> Mapping[str, Any] | None:
    """Laps with all phases of a case: 0 for one that its steps, the workload's own, never end."""
    if laps is None:
        return None
    names = [str(phase) for phase in phases.phases_of(case.loop, case.device)]
    return {**{name: np.zeros_like(laps[phases.STEP]) for name in names}, **laps}


def lists(laps: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Arrays as lists, for JSON."""
    return None if laps is None else {name: values.tolist() for name, values in laps.items()}
