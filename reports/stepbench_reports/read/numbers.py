"""Numbers from files, which may hold anything, and laps."""

import math
import sys
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stepbench_reports.schema.phases import STEP

Track: TypeAlias = NDArray[np.float64]
"""Seconds of a phase, shape (steps,); of its micro-batches, (steps, micro-batches)."""
Tracks: TypeAlias = Mapping[str, Track]
"""Seconds by phase; `step` is the whole step."""


def number(value: object) -> float:
    """Converts a finite `int` or `float` to a float, and anything else to NaN."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    return float(value) if abs(value) <= sys.float_info.max else math.nan


def share(laps: Tracks, phase: str) -> float:
    """A phase's share of the total time of all steps; NaN if that time is 0."""
    total = float(laps[STEP].sum())
    return float(laps[phase].sum()) / total if total > 0 else math.nan
