"""Says how much of a step is the memory traffic of weights, gradients and the optimizer's state."""

import math

from stepbench_reports.analysis.stats import point
from stepbench_reports.read import weight_traffic
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.phases import Phase
from stepbench_reports.wording import quantity

NEGLIGIBLE_TRAFFIC = 0.01
"""Memory traffic below this share of the part that it belongs to has no duration of its own."""


def of_passes(run: Run, measurement: Measurement, fixed_s: float) -> str:
    """The part of the fixed cost that moving the weights takes, as a sentence."""
    size_bytes = measurement.value(lambda findings: findings.model.parameter_bytes)
    gradients = " and writing their gradients" if Phase.BACKWARD in measurement.shares else ""
    subject = f"Reading {_size(size_bytes)} of weights{gradients}"
    return _traffic(run, measurement, subject, weight_traffic.of_passes(measurement), fixed_s)


def of_update(run: Run, measurement: Measurement, update_s: float) -> str:
    """The part of the optimizer's time that moving what it works on takes, as a sentence."""
    moved_bytes = weight_traffic.of_update(measurement)
    subject = f"Moving {_size(moved_bytes)} of parameters, gradients and state"
    return _traffic(run, measurement, subject, moved_bytes, update_s)


def _traffic(
    run: Run, measurement: Measurement, subject: str, moved_bytes: float, part_s: float
) -> str:
    """Says how much of a part's time memory traffic takes at the bandwidth of a copy.

    Args:
        run: The run, with the machine's bandwidth.
        measurement: The case.
        subject: The traffic, in words.
        moved_bytes: The bytes that are moved.
        part_s: The part's time, seconds.
    """
    bytes_per_s = run.copy_bytes_per_s(measurement.axes.get("device"), measurement.host)
    if math.isnan(moved_bytes) or not bytes_per_s > 0:
        return ""
    traffic_s = moved_bytes / bytes_per_s
    if traffic_s < NEGLIGIBLE_TRAFFIC * part_s:
        time = f"less than {quantity.percent(NEGLIGIBLE_TRAFFIC)} of that"
    else:
        time = f"{quantity.milliseconds(point(min(traffic_s, part_s)))} ms of that"
    if run.fits_cache(measurement):
        return f" {subject} would be {time} if it came from memory; it fits the cache."
    return f" {subject} is {time}, at the bandwidth of a copy."


def _size(size_bytes: float) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= factor:
            return f"{quantity.number(size_bytes / factor, max_digits=2)} {unit}"
    return f"{quantity.number(size_bytes / 1e3, max_digits=2)} kB"
