"""A case's profile, as its file in the run directory tells it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OUTSIDE = "(outside operators)"
"""What stands for the time in which no operator runs."""


@dataclass(frozen=True)
class Profile:
    """What profiling a case found.

    Attributes:
        status: How it ended; `None` where the case was not profiled.
        reason: One sentence, where it did not end well.
        content: The file's `profile`; empty where it did not end well.
    """

    status: str | None = None
    reason: str | None = None
    content: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """How many steps were profiled."""
        return int(self._breakdown.get("steps") or 0)

    @property
    def step_s(self) -> float:
        """The mean profiled step, seconds; longer than one that is not watched."""
        whole = self._breakdown.get("step_s")
        return float(whole) / self.steps if whole and self.steps else math.nan

    @property
    def operators(self) -> list[Mapping[str, Any]]:
        """A row for each phase, operator and shapes of its inputs; over all profiled steps."""
        rows = self._breakdown.get("rows")
        return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []

    @property
    def device_idle(self) -> float:
        """The share of the profiled time in which the device had nothing to do; NaN without one.

        Where there are several devices, that of the first.
        """
        found = self._breakdown.get("device_idle")
        return float(next(iter(found.values()))) if found else math.nan

    @property
    def memory_peak_bytes(self) -> Mapping[str, int]:
        """The most that was allocated at once during the profiled steps, by device."""
        return self._breakdown.get("memory_peak_bytes") or {}

    @property
    def workers(self) -> list[Mapping[str, Any]]:
        """What each loader worker spent its time on; empty where they were not watched."""
        return list(self.content.get("workers") or ())

    @property
    def left_out(self) -> Mapping[str, str]:
        """What TensorBoard does not show of it, and why."""
        return (self.content.get("board") or {}).get("left_out") or {}

    @property
    def _breakdown(self) -> Mapping[str, Any]:
        found = self.content.get("breakdown")
        return found if isinstance(found, Mapping) else {}


UNKNOWN = Profile()
"""Of a case that was not profiled."""


def read(content: Mapping[str, Any] | None) -> Profile:
    """From the content of `profiles/<id>.json`; `None` where there is none."""
    if content is None:
        return UNKNOWN
    found = content.get("profile")
    return Profile(
        str(content.get("status")),
        content.get("reason"),
        found if isinstance(found, Mapping) else {},
    )
