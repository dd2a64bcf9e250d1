"""The two ways in which stepbench says no."""

import difflib
from collections.abc import Iterable


def near(word: str, known: Iterable[str]) -> str:
    """A hint at what was meant, to end an error with: near matches, or else all there is."""
    known = list(known)
    matches = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    if matches:
        return "did you mean " + " or ".join(matches) + "?"
    return "choose from " + ", ".join(known)


class UsageError(Exception):
    """Something was asked for that cannot be done.

    The message names the option, the value and the remedy. It ends a run with exit code 4 before
    anything is measured.
    """


class UnsupportedError(Exception):
    """A case that is well asked for, but that this machine cannot run.

    Attributes:
        axis: The axis whose value cannot be had, in the words of `stepbench.config.case.Case`.
    """

    def __init__(self, axis: str, reason: str) -> None:
        super().__init__(axis, reason)
        self.axis = axis
        self.reason = reason

    def __str__(self) -> str:
        """The reason alone."""
        return self.reason
