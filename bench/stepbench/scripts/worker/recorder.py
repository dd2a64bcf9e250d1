"""Records marks, and tells when a step has ended."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from stepbench.devices.clock import DeviceClock
from stepbench.scripts.marks import Mark, MarkKind, code_of, mark_of

EXPECTED_MARKS = 4096
"""The number of events that are made ready for a turn on an asynchronous device."""
NO_THREAD = -1
"""The identity of no thread."""


class Recorder:
    """The marks of one thread: of that in which the first optimizer step was taken.

    Hooks run once a step, when caches hold the model's data: each object that they touch and each
    Python function that they call takes part of a microsecond. So what they need lies here.

    Args:
        step_end: Called at the end of a stretch of steps, where the script can be held; without a
            stretch, at the end of each step.
        exchangeable: True if marks may have to be recorded through another function later, which
            costs each mark a call.

    Attributes:
        record: Records the code and the time of a mark.
        thread: The thread whose marks count; `None` until a step has ended, and `NO_THREAD` where
            no marks count.
        main_optimizer: The number of the optimizer whose updates end steps; `None` for all.
        update: The kind of the update that is under way; 0 for none.
        left: The number of steps that are left of the stretch.
        keeps_losses: True while the loss of each backward pass is asked for.
    """

    def __init__(self, step_end: Callable[[], None], *, exchangeable: bool = False) -> None:
        self._entries: list[int] = []  # each mark's code, then its time
        self._events: list[object] = []
        self._step_end = step_end
        self._stretch = 0
        self.left = 0
        self.thread: int | None = None
        self.main_optimizer: int | None = None
        self.update = 0
        self.keeps_losses = False
        self._through: Callable[[tuple[int, int]], None] = self._entries.extend
        self.record: Callable[[tuple[int, int]], None] = self._entries.extend
        if exchangeable:
            self.record = self._record_exchangeably

    # --- steps -----------------------------------------------------------------------------------

    def foreign(self) -> bool:
        """True in a thread whose marks do not count; hooks compare `thread` before they ask."""
        return self.thread is not None and threading.get_ident() != self.thread

    def begin_stretch(self, steps: int) -> None:
        """Begins a stretch of steps."""
        self._stretch = self.left = steps

    @property
    def taken(self) -> int:
        """The number of steps since the stretch began."""
        return self._stretch - self.left

    def end_stretch(self) -> int:
        """Ends the stretch; returns the number of its steps."""
        taken = self.taken
        self.begin_stretch(0)
        return taken

    def end_update(self, optimizer: int) -> None:
        """Notes the end of an outermost update, which may be the end of a step."""
        if self.main_optimizer is None or optimizer == self.main_optimizer:
            self.left -= 1
            if self.left <= 0:
                self.hold()

    def hold(self) -> None:
        """Ends a stretch of steps, in the thread that has taken them."""
        if self.thread is None:
            self.thread = threading.get_ident()
        self._step_end()

    # --- marks -----------------------------------------------------------------------------------

    def mark(self, kind: int, detail: int) -> None:
        """Records a mark."""
        self.record((code_of(kind, detail), time.perf_counter_ns()))

    def _record_exchangeably(self, mark: tuple[int, int]) -> None:
        self._through(mark)

    def record_events(self, clock: DeviceClock) -> None:
        """Has each mark also record an event in the device's stream, until marks are taken."""
        record_event = clock.recorder(EXPECTED_MARKS)

        def record(mark: tuple[int, int]) -> None:
            self._entries.extend(mark)
            self._events.append(record_event())

        self._through = record

    def record_within(self, context: Callable[[], AbstractContextManager[object]]) -> None:
        """Has each mark be recorded within a context, until marks are taken."""

        def record(mark: tuple[int, int]) -> None:
            with context():
                self._entries.extend(mark)

        self._through = record

    def resume(self) -> None:
        """Marks that the script goes on after it was held."""
        self.mark(MarkKind.RESUME, 0)

    def unmark(self, kind: MarkKind) -> None:
        """Takes back the last mark, if it is of a kind."""
        if self._entries and mark_of(*self._entries[-2:]).kind is kind:
            del self._entries[-2:]
            if self._events:
                self._events.pop()

    def take(self) -> tuple[list[Mark], list[object]]:
        """Takes the marks since the last call, and their events, if they were recorded."""
        entries, events = list(self._entries), list(self._events)
        self._entries.clear()
        self._events.clear()
        self._through = self._entries.extend
        return list(map(mark_of, entries[::2], entries[1::2])), events
