"""The rows of `phases.csv` of a case: a row for each clock and phase, `step` included."""

from collections.abc import Iterator

import numpy as np

from stepbench_reports.analysis.stats import UNKNOWN
from stepbench_reports.read.case_columns import Cell
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.numbers import share
from stepbench_reports.schema.phases import STEP

FIGURES = (
    "phase",
    "clock",
    "n",
    "median_s",
    "low_s",
    "high_s",
    "mean_s",
    "p05_s",
    "p95_s",
    "total_s",
    "share",
    "samples_per_s",
    "samples_per_s_low",
    "samples_per_s_high",
)


def rows(measurement: Measurement) -> Iterator[dict[str, Cell]]:
    """The rows of a case; times are in seconds."""
    for clock, tracks in measurement.laps.items():
        for phase, laps in tracks.items():
            is_reported = clock == measurement.clock
            median = measurement.medians[phase] if is_reported else measurement.turns.median(laps)
            samples_per_s = measurement.samples_per_s if phase == STEP else UNKNOWN
            p05, p95 = np.quantile(laps, [0.05, 0.95])
            yield {
                "phase": phase,
                "clock": clock,
                "n": len(laps),
                "median_s": median.value,
                "low_s": median.low,
                "high_s": median.high,
                "mean_s": float(laps.mean()),
                "p05_s": float(p05),
                "p95_s": float(p95),
                "total_s": float(laps.sum()),
                "share": share(tracks, phase),
                "samples_per_s": samples_per_s.value,
                "samples_per_s_low": samples_per_s.low,
                "samples_per_s_high": samples_per_s.high,
            }
