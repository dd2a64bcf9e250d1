"""A case's profile, from the case's record in the run directory."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from stepbench_reports.schema.profile import Breakdown, OperatorRow, ProfileFindings, WorkerFacts
from stepbench_reports.schema.results import ProfileRecord

OUTSIDE = "(outside operators)"
"""The name of the row for time in which no operator runs: Python, and waiting."""


@dataclass(frozen=True)
class Profile:
    """A case's profile.

    Attributes:
        record: The case's file in `profiles/`; `None` if the case was not profiled.
    """

    record: ProfileRecord | None = None

    @property
    def status(self) -> str | None:
        """The status with which profiling ended; `None` if the case was not profiled."""
        return None if self.record is None else self.record.status

    @property
    def reason(self) -> str | None:
        """One sentence, if profiling did not succeed; else `None`."""
        return None if self.record is None else self.record.reason

    @property
    def findings(self) -> ProfileFindings | None:
        """The profile's figures; `None` if profiling did not succeed."""
        return None if self.record is None else self.record.profile

    @property
    def steps(self) -> int:
        """The number of steps that were profiled."""
        return 0 if self._breakdown is None else self._breakdown.steps

    @property
    def step_s(self) -> float:
        """The mean profiled step, seconds, longer than without the profiler; NaN if unknown."""
        breakdown = self._breakdown
        if breakdown is None or not breakdown.steps or not breakdown.step_s:
            return math.nan
        return breakdown.step_s / breakdown.steps

    @property
    def operators(self) -> tuple[OperatorRow, ...]:
        """A row for each phase, operator and input shapes, over all profiled steps."""
        return () if self._breakdown is None else self._breakdown.rows

    @property
    def device_idle(self) -> float:
        """The share of the profiled time in which the device was idle; NaN without a device.

        If there are several devices, the share is that of the first.
        """
        shares = {} if self._breakdown is None else self._breakdown.device_idle
        return next(iter(shares.values()), math.nan)

    @property
    def memory_peak_bytes(self) -> Mapping[str, int]:
        """Peak allocated memory during the profiled steps, bytes, by device."""
        return {} if self._breakdown is None else self._breakdown.memory_peak_bytes

    @property
    def workers(self) -> tuple[WorkerFacts, ...]:
        """The time spent by each loader worker, by activity; empty if workers were not profiled."""
        return () if self.findings is None else self.findings.workers or ()

    @property
    def left_out(self) -> Mapping[str, str]:
        """Parts of the profile that TensorBoard does not show, each with the reason."""
        return {} if self.findings is None else self.findings.board.left_out

    @property
    def trace_bytes(self) -> float:
        """The size of the trace, bytes; NaN without a trace."""
        return math.nan if self.findings is None else self.findings.trace.bytes

    @property
    def trace_events(self) -> float:
        """The number of events in the trace; NaN without a trace."""
        return math.nan if self.findings is None else self.findings.trace.events

    @property
    def board_bytes(self) -> float:
        """The size of the files for TensorBoard, bytes; NaN without such files."""
        return math.nan if self.findings is None else self.findings.board.bytes

    @property
    def snapshot_bytes(self) -> float:
        """The size of the memory snapshot, bytes; NaN without a snapshot."""
        size = None if self.findings is None else self.findings.snapshot_bytes
        return math.nan if size is None else size

    @property
    def _breakdown(self) -> Breakdown | None:
        return None if self.findings is None else self.findings.breakdown


UNKNOWN = Profile()
"""The profile of a case that was not profiled."""
