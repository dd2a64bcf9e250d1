"""Marks the phases of a step with `record_function`, so that a profiler's trace shows them."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from torch.autograd.profiler import record_function

from stepbench.errors import UsageError
from stepbench_reports.schema.phases import Phase


class PhaseMarks:
    """Marks each phase from its beginning to its end, at the calls that take laps.

    A loop calls `lap` when a phase *ends*; the next phase begins there.

    Args:
        laps: The phases that end in a step, in order.
        steps: The number of steps to mark.
    """

    def __init__(self, laps: Sequence[Phase], steps: int) -> None:
        self._next = cycle(laps)
        self._laps_left = len(laps) * steps
        self._laps_per_step = len(laps)
        self._phase: Phase | None = None
        self._record: Any = None

    def begin(self) -> None:
        """Begins the next phase; a caller does so for the first step's first phase only."""
        self._phase = next(self._next)
        self._record = record_function(str(self._phase))
        self._record.__enter__()

    def lap(self, phase: Phase) -> None:
        """Ends a phase, and begins the step's next one.

        Raises:
            UsageError: `phase` is not the one that ended at this point in earlier steps.
        """
        self._record.__exit__(None, None, None)
        if phase is not self._phase:
            raise UsageError(
                f"--profile: {phase} ended in a step where {self._phase} ended in an earlier step; "
                f"a trace needs the same phases in every step, in the same order"
            )
        self._laps_left -= 1
        if self._laps_left % self._laps_per_step:
            self.begin()

    def end_step(self) -> None:
        """Begins the next step's first phase, if there is a next step."""
        if self._laps_left:
            self.begin()
