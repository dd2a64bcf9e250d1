"""The phases of a step as `record_function` marks, so that a profiler's trace shows them."""

from itertools import cycle
from typing import Any

from torch.autograd.profiler import record_function

from bench.phases import Phase


class PhaseMarks:
    """Marks each phase from its beginning to its end, at the calls by which laps are taken.

    A loop says where a phase *ends*; the next one begins there.

    Args:
        phases: The phases of a step, in order.
        accumulate: How many batches a step goes through; all phases but the optimizer's repeat.
        steps: How many steps will be marked.
    """

    def __init__(self, phases: tuple[Phase, ...], accumulate: int, steps: int) -> None:
        repeated = [phase for phase in phases if phase is not Phase.OPTIMIZER]
        of_step = repeated * accumulate + [phase for phase in phases if phase is Phase.OPTIMIZER]
        self._next = cycle(of_step)
        self._laps_left = len(of_step) * steps
        self._laps_of_step = len(of_step)
        self._open: Any = None

    def begin(self) -> None:
        """Begins the first step's first phase."""
        self._open = record_function(str(next(self._next)))
        self._open.__enter__()

    def lap(self, _: Phase) -> None:
        """Ends a phase; the next one of the step begins."""
        self._open.__exit__(None, None, None)
        self._laps_left -= 1
        if self._laps_left % self._laps_of_step:
            self.begin()

    def end_step(self) -> None:
        """Begins the next step's first phase, where there is one."""
        if self._laps_left:
            self.begin()
