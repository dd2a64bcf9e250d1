"""Why a session of a regression check ended."""

from enum import StrEnum


class EndReason(StrEnum):
    """The reason for the end of a session of a check."""

    DONE = "done"
    """Nothing is left to measure."""
    BUDGET = "budget"
    """The time is up."""
    EARLY = "early"
    """No row could be decided in the time that was left."""
    INTERRUPTED = "interrupted"
    FATAL = "fatal"
    """Nothing can be compared; the record has the reason."""
