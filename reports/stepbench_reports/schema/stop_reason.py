"""Why the sampling of a case stopped."""

from enum import StrEnum


class StopReason(StrEnum):
    """The reason for which no further generation was sampled."""

    PRECISE = "precise"
    """As many generations are done as the target of precision needs."""
    TIME = "time"
    """`--max-time` ran out first."""
    STEPS = "steps"
    """The number of steps given by `--steps` is done."""
    GENERATIONS = "generations"
    """`--generations` are done, too few to know the precision."""
    SCRIPT_ENDED = "script ended"
    """The script ended by itself."""
    INTERRUPTED = "interrupted"
    """The run ended before the case's group did."""
    SILENT = "silent"
    """The case's process sent nothing for `--deadline` in a generation after the first, which is
    left out."""
