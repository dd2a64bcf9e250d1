"""The columns of `Run.cases` that hold a case's figures, beside its id and its axes."""

import math
from typing import Any

from stepbench_reports.analysis.stats import UNKNOWN
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.parity import Parity
from stepbench_reports.read.speedup import Speedup
from stepbench_reports.schema.phases import STEP


def figures(
    measurement: Measurement, speedup: Speedup | None, share_of_ceiling: float
) -> dict[str, Any]:
    """A case's figures by column, in order; `Run.cases` describes them.

    Args:
        measurement: The case.
        speedup: Over its eager twin; `None` where that is not known.
        share_of_ceiling: Of its device's ceiling in its precision; NaN where that is not known.
    """
    return {
        "status": measurement.status,
        "reason": measurement.reason,
        **_step_columns(measurement),
        **_speedup_columns(speedup),
        **_sampling_columns(measurement),
        **_bottleneck_columns(measurement),
        **_work_columns(measurement),
        "share_of_ceiling": share_of_ceiling,
        **_parity_columns(measurement.parity),
        **_once_columns(measurement),
        **_memory_columns(measurement),
        **_training_columns(measurement),
    }


def _step_columns(measurement: Measurement) -> dict[str, Any]:
    return {
        "clock": measurement.clock if measurement.ok else None,
        "steps": len(measurement.laps[measurement.clock][STEP]) if measurement.ok else 0,
        "step_s": measurement.step.value,
        "step_low_s": measurement.step.low,
        "step_high_s": measurement.step.high,
        "mean_step_s": measurement.mean_step.value,
        "samples_per_s": measurement.samples_per_s.value,
        "samples_per_s_low": measurement.samples_per_s.low,
        "samples_per_s_high": measurement.samples_per_s.high,
    }


def _speedup_columns(speedup: Speedup | None) -> dict[str, Any]:
    ratio = UNKNOWN if speedup is None else speedup.ratio
    return {
        "speedup": ratio.value,
        "speedup_low": ratio.low,
        "speedup_high": ratio.high,
        "speedup_of": None if speedup is None else speedup.of,
    }


def _sampling_columns(measurement: Measurement) -> dict[str, Any]:
    figure, fact = measurement.figure, measurement.fact
    return {
        "stopped": fact("sampling", "stopped"),
        "lapped_per_bare": measurement.lapped_per_bare,
        "noise_set_aside": figure("noise", "set_aside"),
        "noise_blocks": measurement.watched_blocks,
        "noise_disturbed": fact("noise", "disturbed"),
    }


def _bottleneck_columns(measurement: Measurement) -> dict[str, Any]:
    bound = measurement.bound
    return {
        "bound": None if bound is None else " and ".join(bound.kinds),
        "bound_share": math.nan if bound is None else bound.share,
        "best_step_s": math.nan if bound is None else bound.best_step_s,
        "fixed_s": measurement.fixed_s,
    }


def _work_columns(measurement: Measurement) -> dict[str, Any]:
    return {
        "flops": measurement.flops,
        "bytes": measurement.bytes,
        "intensity": measurement.intensity,
        "flops_per_s": measurement.flops_per_s,
    }


def _parity_columns(parity: Parity) -> dict[str, Any]:
    return {
        "parity": parity.verdict,
        "parity_error": parity.error,
        "training_parity": parity.trained,
        "accuracy": parity.accuracy,
        "twin_accuracy": parity.twin_accuracy,
    }


def _once_columns(measurement: Measurement) -> dict[str, Any]:
    figure, fact = measurement.figure, measurement.fact
    return {
        "elapsed_s": figure("elapsed_s"),
        "start_s": figure("start_s"),
        "loader_start_s": figure("loader", "start_s"),
        "loader_restart_s": figure("loader", "restart_s"),
        "loader_samples_per_s": figure("loader", "samples_per_s"),
        "loader_disturbed": fact("loader", "disturbed"),
        "first_step_s": figure("first_step_s"),
        "warmup_s": figure("warmup", "elapsed_s"),
        "cold_compile_s": figure("compile", "cold", "compile_s"),
        "warm_compile_s": figure("compile", "compile_s"),
        "cold_first_step_s": figure("compile", "cold", "first_step_s"),
        "graphs": figure("compile", "graphs"),
        "graph_breaks": figure("compile", "graph_breaks"),
        "recompiles": figure("compile", "recompiles"),
    }


def _memory_columns(measurement: Measurement) -> dict[str, Any]:
    figure = measurement.figure
    return {
        "host_peak_bytes": figure("memory", "host_peak_bytes"),
        "device_peak_allocated_bytes": figure("memory", "device_peak_allocated_bytes"),
        "device_peak_reserved_bytes": figure("memory", "device_peak_reserved_bytes"),
        "saved_bytes": figure("memory", "saved_bytes"),
    }


def _training_columns(measurement: Measurement) -> dict[str, Any]:
    figure, fact = measurement.figure, measurement.fact
    return {
        "data": fact("data", "name"),
        "data_origin": fact("data", "origin"),
        "parameters": figure("model", "parameters"),
    }
