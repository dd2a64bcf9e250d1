"""Roles: which optimizer counts steps, which loaders evaluate, and what was seen at all."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

from stepbench.scripts.marks import ENDS, UPDATES, Mark, MarkKind


@dataclass(frozen=True)
class Roles:
    """The roles that a script's objects were seen to play.

    Attributes:
        main_optimizer: The number of the optimizer whose updates count steps; `None` without any.
        updates: The number of updates of each optimizer, by number.
        evaluating: The numbers of the iterators whose batches are evaluated, not trained on.
        training: The numbers of the iterators whose batches are trained on.
        calls: True if calls of the model were seen while gradients are recorded.
        micro_batches: The number of backward passes of a step; `None` if no step was seen.
        scaled: True if a `GradScaler` was seen.
        skipped: The number of updates that the `GradScaler` skipped.
        transfers: True if transfers to a device were seen.
    """

    main_optimizer: int | None
    updates: dict[int, int]
    evaluating: frozenset[int]
    training: frozenset[int]
    calls: bool
    micro_batches: int | None
    scaled: bool
    skipped: int
    transfers: bool

    def joined(self, later: "Roles") -> Self:
        """The roles with those that were seen later, of which the main optimizer stays the same."""
        return replace(
            self,
            updates=dict(Counter(self.updates) + Counter(later.updates)),
            evaluating=(self.evaluating - later.training) | later.evaluating,
            training=(self.training - later.evaluating) | later.training,
            calls=self.calls or later.calls,
            scaled=self.scaled or later.scaled,
            skipped=self.skipped + later.skipped,
            transfers=self.transfers or later.transfers,
        )


@dataclass(frozen=True)
class ScriptUpdate:
    """An update of parameters: the outermost boundary of an optimizer.

    Attributes:
        optimizer: The optimizer's number.
        begin: The index of the mark at the begin.
        end: The index of the mark at the end.
        skipped: True if a `GradScaler` called no optimizer.
    """

    optimizer: int
    begin: int
    end: int
    skipped: bool


def updates_of(marks: Sequence[Mark]) -> Iterator[ScriptUpdate]:
    """The complete updates in a recording, in order."""
    open_at: list[int] = []
    stepped = False
    for index, mark in enumerate(marks):
        if mark.kind in UPDATES:
            stepped = mark.kind is MarkKind.OPTIMIZER if not open_at else True
            open_at.append(index)
        elif ENDS.get(mark.kind) in UPDATES and open_at:
            begin = open_at.pop()
            if not open_at:
                yield ScriptUpdate(marks[begin].detail, begin, index, not stepped)


def recognise(marks: Sequence[Mark]) -> Roles:
    """Recognises the roles in a recording of some steps."""
    updates = list(updates_of(marks))
    counts = Counter(update.optimizer for update in updates)
    main = _main(updates, counts)
    training, evaluating = _iterators(marks)
    return Roles(
        main_optimizer=main,
        updates=dict(counts),
        evaluating=evaluating,
        training=training,
        calls=any(mark.kind is MarkKind.CALL and mark.detail for mark in marks),
        micro_batches=_micro_batches(marks, updates, main),
        scaled=any(mark.kind is MarkKind.SCALER for mark in marks),
        skipped=sum(update.skipped for update in updates),
        transfers=any(mark.kind is MarkKind.TRANSFER for mark in marks),
    )


def _main(updates: Sequence[ScriptUpdate], counts: Counter[int]) -> int | None:
    """The optimizer with the most updates; of several, the one that comes last in a step.

    A recording may end within a step, so that one update more is no difference.
    """
    if not counts:
        return None
    first = {update.optimizer: index for index, update in reversed(list(enumerate(updates)))}
    most = max(counts.values())
    alike = [number for number in counts if counts[number] >= max(1, most - 1)]
    return max(alike, key=first.__getitem__) if most > 1 else updates[-1].optimizer


def _iterators(marks: Sequence[Mark]) -> tuple[frozenset[int], frozenset[int]]:
    """The iterators that feed training and those that feed evaluation.

    Each fetched batch votes: it is trained on if the model is then called with gradients, or a
    backward pass follows. It is evaluated if the model was called without before the next batch, or
    without calls if the iterator ends before a backward pass.
    """
    votes: Counter[tuple[int, bool]] = Counter()
    waiting: dict[int, int] = {}
    evaluated = False
    calls = any(mark.kind is MarkKind.CALL for mark in marks)
    for mark in marks:
        if mark.kind is MarkKind.FETCH and evaluated:
            votes.update({(number, False): count for number, count in waiting.items()})
            waiting, evaluated = {}, False
        elif mark.kind is MarkKind.FETCH_END:
            waiting[mark.detail] = waiting.get(mark.detail, 0) + 1
        elif mark.kind is MarkKind.FETCH_EMPTY and not calls:
            votes[mark.detail, False] += max(0, waiting.pop(mark.detail, 0) - 1)
        elif mark.kind is MarkKind.BACKWARD or (mark.kind is MarkKind.CALL and mark.detail):
            votes.update({(number, True): count for number, count in waiting.items()})
            waiting, evaluated = {}, False
        elif mark.kind is MarkKind.CALL:
            evaluated = True
    if evaluated:
        votes.update({(number, False): count for number, count in waiting.items()})
    numbers = {number for number, _ in votes}
    training = frozenset(n for n in numbers if votes[n, True] >= votes[n, False])
    return training, frozenset(numbers - training)


def _micro_batches(
    marks: Sequence[Mark], updates: Sequence[ScriptUpdate], main: int | None
) -> int | None:
    """The median number of backward passes of a step; of other optimizers' steps, too."""
    ends = [update.end for update in updates if update.optimizer == main]
    counts = [
        sum(mark.kind is MarkKind.BACKWARD for mark in marks[first:last])
        for first, last in pairwise(ends)
    ]
    return max(1, round(statistics.median(counts))) if counts else None
