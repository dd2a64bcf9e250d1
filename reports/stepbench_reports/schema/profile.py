"""The findings of a case's profile, as its file in the run directory has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ProfileFindings:
    """Findings of profiling a case. Times in seconds, sizes in bytes.

    Attributes:
        trace: The trace's size and its number of events.
        board: The size of what TensorBoard reads, and what was left out of it, by tab.
        breakdown: A `stepbench.profiling.breakdown.Breakdown`.
        curves: How the short training went, for the curves; `None` where the case does not train.
        workers: What the loader's workers spent their time on; `None` where they were not watched.
        snapshot_bytes: The memory snapshot's size, where there is one.
        elapsed_s: How long profiling took.
    """

    trace: Mapping[str, Any]
    board: Mapping[str, Any]
    breakdown: Mapping[str, Any]
    curves: Mapping[str, Any] | None
    workers: tuple[Mapping[str, Any], ...] | None
    snapshot_bytes: int | None
    elapsed_s: float
