"""Classifies the time between marks: each moment is in one phase, in evaluation, or in `other`.

Forward is what remains between the end of a fetch and the begin of backward. What lies between
backward and the update, and between the update and the next fetch, is `other`. So the parts of a
step add up to it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from stepbench.scripts.marks import ENDS, UPDATES, Mark, MarkKind
from stepbench.scripts.roles import Roles, updates_of
from stepbench_reports.schema.phases import Phase
from stepbench_reports.schema.script import EVALUATION

_BRACKETS = {
    MarkKind.TRANSFER: str(Phase.TRANSFER),
    MarkKind.BACKWARD: str(Phase.BACKWARD),
}


@dataclass(frozen=True)
class ScriptStep:
    """The parts of a step.

    Attributes:
        parts: The duration of each part, in the unit of the times that it was made from.
        micro_batches: The number of backward passes.
        evaluations: The number of stretches of evaluation.
    """

    parts: Mapping[str, float]
    micro_batches: int
    evaluations: int = 0

    @property
    def duration(self) -> float:
        """The duration of the step, without evaluation."""
        return math.fsum(time for part, time in self.parts.items() if part != EVALUATION)


def step_ends(marks: Sequence[Mark], roles: Roles) -> list[int]:
    """The indexes of the marks that end a step: those of the main optimizer's updates."""
    return [each.end for each in updates_of(marks) if each.optimizer == roles.main_optimizer]


def split(
    marks: Sequence[Mark], roles: Roles, times: Sequence[float] | None = None
) -> list[ScriptStep]:
    """Splits a recording into steps.

    Args:
        marks: A recording that begins at the end of a step, or where the script goes on after one.
        roles: The roles of the script's objects.
        times: The time of each mark by another clock; `None` for the marks' own, in nanoseconds.

    Returns:
        The complete steps; what follows the last one is left out.
    """
    at = [float(mark.ns) for mark in marks] if times is None else times
    labels = label(marks, roles)
    steps: list[ScriptStep] = []
    first = 0
    for last in step_ends(marks, roles):
        parts: dict[str, list[float]] = {}
        for index in range(first, last):
            parts.setdefault(labels[index], []).append(at[index + 1] - at[index])
        evaluations = sum(
            labels[index] == EVALUATION and (index == first or labels[index - 1] != EVALUATION)
            for index in range(first, last)
        )
        micro = sum(mark.kind is MarkKind.BACKWARD for mark in marks[first:last])
        sums = {part: math.fsum(durations) for part, durations in parts.items()}
        steps.append(ScriptStep(sums, micro, evaluations))
        first = last
    return steps


def label(marks: Sequence[Mark], roles: Roles) -> list[str]:
    """The part to which the time after each mark belongs, up to the next mark."""
    labeller = _Labeller(marks, roles)
    labels = [labeller.after(index) for index in range(max(0, len(marks) - 1))]
    _put_forward_before_backward(marks, labels)
    return labels


@dataclass
class _Labeller:
    """Goes through a recording, and keeps what is open.

    Attributes:
        marks: The recording.
        roles: The roles of the script's objects.
        state: The part outside of all boundaries.
        inner: The part within an update, outside of the boundaries in it.
        open: The begins of the open boundaries.
    """

    marks: Sequence[Mark]
    roles: Roles
    state: str = str(Phase.OTHER)
    inner: str = str(Phase.OPTIMIZER)
    open: list[Mark] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._evaluates_next = _next_is(self.marks, self._is_evaluation, self._decides)
        self._updates_next = _next_is(self.marks, _is_bare_update(self.marks), self._decides)

    def after(self, index: int) -> str:
        """The part of the time after a mark, whose boundary is entered or left."""
        mark = self.marks[index]
        if mark.kind in ENDS:
            self._close(mark, index)
        elif mark.kind is not MarkKind.RESUME:
            self._begin(mark, index)
        if self.open:
            return self._within(self.open)
        if self.state == EVALUATION and not self._evaluates_next[index]:
            self.state = str(Phase.OTHER)  # what follows the last batch is the script's own affair
        return self.state

    @property
    def _updating(self) -> bool:
        return any(mark.kind in UPDATES for mark in self.open)

    def _decides(self, mark: Mark) -> bool:
        """True if a mark shows whether the script trains or evaluates."""
        return mark.kind in {MarkKind.FETCH, MarkKind.CALL, MarkKind.BACKWARD, *UPDATES}

    def _is_evaluation(self, index: int) -> bool:
        mark = self.marks[index]
        if mark.kind is MarkKind.CALL:
            return not mark.detail
        return mark.kind is MarkKind.FETCH and mark.detail in self.roles.evaluating

    def _begin(self, mark: Mark, index: int) -> None:
        forward = str(Phase.FORWARD)
        if not self.open:
            if self._is_evaluation(index) and self.state != forward:
                self.state = EVALUATION
            elif mark.kind is MarkKind.CALL and mark.detail:
                self.state = forward
            elif self._decides(mark) and self.state == EVALUATION:
                self.state = str(Phase.OTHER)
        elif mark.kind is MarkKind.CALL and self._updating:
            self.inner = forward
        if mark.kind in UPDATES and not self._updating:
            self.inner = str(Phase.OPTIMIZER)
        self.open.append(mark)

    def _close(self, mark: Mark, index: int) -> None:
        begins = [each.kind for each in self.open]
        if ENDS[mark.kind] not in begins:
            return  # the boundary was entered before the recording
        while self.open.pop().kind is not ENDS[mark.kind]:
            pass  # an exception left these
        if mark.kind is MarkKind.BACKWARD_END and self._updating:
            self.inner = str(Phase.OPTIMIZER)
        if self.open:
            return
        if mark.kind is MarkKind.FETCH_END and mark.detail not in self.roles.evaluating:
            if not self._updates_next[index]:
                self.state = str(Phase.FORWARD)
        elif mark.kind is MarkKind.BACKWARD_END or ENDS[mark.kind] in UPDATES:
            self.state = str(Phase.OTHER)

    def _within(self, opened: Sequence[Mark]) -> str:
        """The part of the innermost boundary; a model's call holds all that happens in it."""
        outermost_call = next((each for each in opened if each.kind is MarkKind.CALL), None)
        inner = outermost_call or opened[-1]
        if inner.kind in UPDATES:
            return self.inner
        if inner.kind is MarkKind.CALL:
            evaluates = not inner.detail and self.state == EVALUATION
            return EVALUATION if evaluates else str(Phase.FORWARD)
        if self.state == EVALUATION:
            return EVALUATION
        return _BRACKETS.get(inner.kind, str(Phase.DATALOAD))


def _next_is(
    marks: Sequence[Mark], holds: Callable[[int], bool], decides: Callable[[Mark], bool]
) -> list[bool]:
    """For each mark, if the next mark that decides has a property; false if none follows."""
    result, found = [False] * len(marks), False
    for index in range(len(marks) - 1, -1, -1):
        result[index] = found
        if decides(marks[index]):
            found = holds(index)
    return result


def _is_bare_update(marks: Sequence[Mark]) -> Callable[[int], bool]:
    """Tells if a mark begins an update that runs no backward pass: one without a closure."""
    closures = {
        update.begin
        for update in updates_of(marks)
        if any(mark.kind is MarkKind.BACKWARD for mark in marks[update.begin : update.end])
    }
    return lambda index: marks[index].kind in UPDATES and index not in closures


def _put_forward_before_backward(marks: Sequence[Mark], labels: list[str]) -> None:
    """Labels as forward what leads to a backward pass for which no forward was seen.

    A model that is called in another way than `model(batch)`, and in a script without a
    `DataLoader`, leaves no mark before backward.
    """
    forward, since = str(Phase.FORWARD), 0
    for index, (mark, following) in enumerate(pairwise(marks)):
        if mark.kind is MarkKind.BACKWARD_END or (
            ENDS.get(mark.kind) in UPDATES or mark.kind is MarkKind.FETCH_END
        ):
            since = index
        if following.kind is MarkKind.BACKWARD and forward not in labels[since : index + 1]:
            labels[index] = forward
