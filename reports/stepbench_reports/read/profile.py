"""A case's profile, as its record in the run directory tells it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from stepbench_reports.schema.profile import Breakdown, OperatorRow, ProfileFindings, WorkerFacts
from stepbench_reports.schema.results import ProfileRecord

OUTSIDE = "(outside operators)"
"""What stands for the time in which no operator runs."""


@dataclass(frozen=True)
class Profile:
    """What profiling a case found.

    Attributes:
        record: The case's file in `profiles/`; `None` where it was not profiled.
    """

    record: ProfileRecord | None = None

    @property
    def status(self) -> str | None:
        """How profiling ended; `None` where the case was not profiled."""
        return None if self.record is None else self.record.status

    @property
    def reason(self) -> str | None:
        """One sentence, where profiling did not end well."""
        return None if self.record is None else self.record.reason

    @property
    def findings(self) -> ProfileFindings | None:
        """The profile; `None` where profiling did not end well."""
        return None if self.record is None else self.record.profile

    @property
    def steps(self) -> int:
        """The number of steps that were profiled."""
        return 0 if self._breakdown is None else self._breakdown.steps

    @property
    def step_s(self) -> float:
        """The mean profiled step, seconds; longer than one that is not watched."""
        breakdown = self._breakdown
        if breakdown is None or not breakdown.steps or not breakdown.step_s:
            return math.nan
        return breakdown.step_s / breakdown.steps

    @property
    def operators(self) -> tuple[OperatorRow, ...]:
        """A row for each phase, operator and shapes of its inputs; over all profiled steps."""
        return () if self._breakdown is None else self._breakdown.rows

    @property
    def device_idle(self) -> float:
        """The share of the profiled time in which the device had nothing to do; NaN without one.

        Where there are several devices, that of the first.
        """
        shares = {} if self._breakdown is None else self._breakdown.device_idle
        return next(iter(shares.values()), math.nan)

    @property
    def memory_peak_bytes(self) -> Mapping[str, int]:
        """The most that was allocated at once during the profiled steps, by device."""
        return {} if self._breakdown is None else self._breakdown.memory_peak_bytes

    @property
    def workers(self) -> tuple[WorkerFacts, ...]:
        """What each loader worker spent its time on; empty where they were not watched."""
        return () if self.findings is None else self.findings.workers or ()

    @property
    def left_out(self) -> Mapping[str, str]:
        """What TensorBoard does not show of it, and why."""
        return {} if self.findings is None else self.findings.board.left_out

    @property
    def trace_bytes(self) -> float:
        """The size of the trace; NaN without one."""
        return math.nan if self.findings is None else self.findings.trace.bytes

    @property
    def trace_events(self) -> float:
        """The events of the trace; NaN without one."""
        return math.nan if self.findings is None else self.findings.trace.events

    @property
    def board_bytes(self) -> float:
        """The size of what TensorBoard reads; NaN without it."""
        return math.nan if self.findings is None else self.findings.board.bytes

    @property
    def snapshot_bytes(self) -> float:
        """The size of the memory snapshot; NaN without one."""
        size = None if self.findings is None else self.findings.snapshot_bytes
        return math.nan if size is None else size

    @property
    def _breakdown(self) -> Breakdown | None:
        return None if self.findings is None else self.findings.breakdown


UNKNOWN = Profile()
"""Of a case that was not profiled."""
