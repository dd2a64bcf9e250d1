"""Marks: the moments at which a script's process enters and leaves a boundary of a step.

While a script runs, a mark is two whole numbers of a list, so that nothing stays that Python's
collector follows: a code, which holds the kind and the detail, and the time.
"""

from dataclasses import dataclass
from enum import IntEnum

KIND_BITS = 4
"""The bits of a mark's code that hold its kind; the detail lies above them."""


class MarkKind(IntEnum):
    """The kind of a mark; each boundary has a mark at its begin and one at its end."""

    RESUME = 0
    """The script goes on after it was held at a step's end."""
    FETCH = 1
    """The next batch is asked of a `DataLoader`'s iterator; the detail is its number."""
    FETCH_END = 2
    FETCH_EMPTY = 3
    """The iterator has no more batches."""
    TRANSFER = 4
    """A tensor is moved from the host to a device."""
    TRANSFER_END = 5
    CALL = 6
    """The model is called; the detail is 1 if gradients are recorded."""
    CALL_END = 7
    BACKWARD = 8
    BACKWARD_END = 9
    OPTIMIZER = 10
    """An optimizer's `step`; the detail is the optimizer's number."""
    OPTIMIZER_END = 11
    SCALER = 12
    """`GradScaler.step`, which may skip that of the optimizer; the detail is its number."""
    SCALER_END = 13


ENDS = {
    MarkKind.FETCH_END: MarkKind.FETCH,
    MarkKind.FETCH_EMPTY: MarkKind.FETCH,
    MarkKind.TRANSFER_END: MarkKind.TRANSFER,
    MarkKind.CALL_END: MarkKind.CALL,
    MarkKind.BACKWARD_END: MarkKind.BACKWARD,
    MarkKind.OPTIMIZER_END: MarkKind.OPTIMIZER,
    MarkKind.SCALER_END: MarkKind.SCALER,
}
"""The begin that belongs to each end."""
UPDATES = {MarkKind.OPTIMIZER, MarkKind.SCALER}
"""The boundaries of an update of parameters."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment at a boundary.

    Attributes:
        kind: The boundary, and its begin or end.
        ns: The host's clock, nanoseconds.
        detail: A number, whose meaning depends on the kind.
    """

    kind: MarkKind
    ns: int
    detail: int = 0


def code_of(kind: int, detail: int = 0) -> int:
    """The code of a kind and a detail; hooks write the same expression out: a call costs time."""
    return detail << KIND_BITS | kind


def mark_of(code: int, ns: int) -> Mark:
    """The mark of a code and a time."""
    return Mark(MarkKind(code & (1 << KIND_BITS) - 1), ns, code >> KIND_BITS)
