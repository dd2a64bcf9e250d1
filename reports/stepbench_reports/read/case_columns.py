"""The columns of `Run.cases` that hold a case's figures: all but the id and the axes."""

import math
from typing import TypeAlias

from stepbench_reports.analysis.control import Control
from stepbench_reports.analysis.stats import UNKNOWN, Interval
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.parity import Parity
from stepbench_reports.read.ratio import Ratio
from stepbench_reports.schema.phases import STEP

Cell: TypeAlias = str | float | bool | None
"""A cell's value in `Run.cases`."""


def figures(
    measurement: Measurement,
    speedup: Ratio | None,
    control: Control | None,
    *,
    share_of_peak: float,
    share_of_roof: float,
) -> dict[str, Cell]:
    """A case's figures by column, in the order of `Run.cases`, which describes the columns.

    Args:
        measurement: The case.
        speedup: The speed-up over the uncompiled case; `None` if unknown.
        control: The speed-up's control; `None` if it has none.
        share_of_peak: The case's FLOP/s as a share of the device's peak throughput in the case's
            precision; NaN if unknown.
        share_of_roof: The same as a share of what the device allows at the case's intensity.
    """
    return {
        "status": measurement.status,
        "reason": measurement.reason,
        "host": measurement.host,
        **_step_columns(measurement),
        **_speedup_columns(speedup),
        **_control_columns(control),
        **_sampling_columns(measurement),
        **_bottleneck_columns(measurement),
        **_work_columns(measurement),
        "share_of_peak": share_of_peak,
        "share_of_roof": share_of_roof,
        **_parity_columns(measurement.parity),
        **_startup_columns(measurement),
        **_memory_columns(measurement),
        **_training_columns(measurement),
    }


def _step_columns(measurement: Measurement) -> dict[str, Cell]:
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


def _interval_columns(name: str, interval: Interval) -> dict[str, Cell]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _speedup_columns(speedup: Ratio | None) -> dict[str, Cell]:
    ratio = UNKNOWN if speedup is None else speedup.interval
    return {
        **_interval_columns("speedup", ratio),
        "speedup_paired": None if speedup is None else speedup.paired,
    }


def _control_columns(control: Control | None) -> dict[str, Cell]:
    ratio = UNKNOWN if control is None else control.ratio
    return {
        **_interval_columns("control", ratio),
        "control_doubtful": None if control is None else control.doubtful,
    }


def _sampling_columns(measurement: Measurement) -> dict[str, Cell]:
    findings = measurement.findings
    return {
        "stopped": measurement.stopped,
        "generations": len(measurement.generations) or math.nan,
        "lapped_per_bare": measurement.lapped_per_bare,
        "noise_discarded": measurement.discarded_blocks,
        "noise_blocks": measurement.checked_blocks,
        "noise_interference": None if findings is None else findings.noise.interference,
    }


def _bottleneck_columns(measurement: Measurement) -> dict[str, Cell]:
    bottleneck = measurement.bottleneck
    gain = UNKNOWN if bottleneck is None else bottleneck.gain
    return {
        "bottleneck": None if bottleneck is None else " and ".join(bottleneck.kinds),
        "bottleneck_share": math.nan if bottleneck is None else bottleneck.share,
        "best_step_s": math.nan if bottleneck is None else bottleneck.best_step_s,
        **_interval_columns("gain", gain),
        "fixed_cost_s": measurement.fixed_cost_s,
        "hidden_launch_s": measurement.hidden_launch_s,
    }


def _work_columns(measurement: Measurement) -> dict[str, Cell]:
    return {
        "flops": measurement.flops,
        "bytes": measurement.bytes,
        "intensity": measurement.intensity,
        "flops_per_s": measurement.flops_per_s,
    }


def _parity_columns(parity: Parity) -> dict[str, Cell]:
    return {
        "parity": parity.verdict,
        "parity_error": parity.error,
        "training_parity": parity.trained,
        "accuracy": parity.accuracy,
        "eager_fp32_accuracy": parity.eager_fp32_accuracy,
    }


def _startup_columns(measurement: Measurement) -> dict[str, Cell]:
    value, loader_value = measurement.value, measurement.loader_value
    compile_value = measurement.compile_value
    loader = None if measurement.findings is None else measurement.findings.loader
    return {
        "elapsed_s": measurement.elapsed_s,
        "start_s": measurement.start_s,
        "loader_start_s": loader_value(lambda each: each.start_s),
        "loader_restart_s": loader_value(lambda each: each.restart_s),
        "loader_samples_per_s": measurement.loader_samples_per_s,
        "loader_interference": None if loader is None else loader.interference,
        "first_step_s": value(lambda f: f.first_step_s),
        "warmup_s": value(lambda f: f.warmup.elapsed_s),
        "cold_compile_s": measurement.cold_compile_s,
        "warm_compile_s": compile_value(lambda c: c.compile_s),
        "cold_first_step_s": measurement.cold_first_step_s,
        "graphs": compile_value(lambda c: c.graphs),
        "graph_breaks": compile_value(lambda c: c.graph_breaks),
        "recompiles": compile_value(lambda c: c.recompiles),
        "cuda_graph_skips": compile_value(lambda c: c.cuda_graph_skips),
    }


def _memory_columns(measurement: Measurement) -> dict[str, Cell]:
    value = measurement.value
    return {
        "host_peak_bytes": value(lambda f: f.memory.host_peak_bytes),
        "host_pinned_bytes": value(lambda f: f.memory.host_pinned_bytes),
        "device_peak_allocated_bytes": value(lambda f: f.memory.device_peak_allocated_bytes),
        "device_peak_reserved_bytes": value(lambda f: f.memory.device_peak_reserved_bytes),
        "saved_bytes": value(lambda f: f.memory.saved_bytes),
    }


def _training_columns(measurement: Measurement) -> dict[str, Cell]:
    data = None if measurement.findings is None else measurement.findings.data
    return {
        "data": None if data is None else data.name,
        "data_origin": None if data is None else data.origin,
        "parameters": measurement.value(lambda f: f.model.parameters),
    }
