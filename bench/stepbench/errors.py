"""Exceptions for requests that stepbench cannot satisfy, and hints for their messages."""

import difflib
from collections.abc import Iterable


def suggestion(word: str, choices: Iterable[str]) -> str:
    """A hint for the end of an error message: the closest matches, or else all choices."""
    choices = list(choices)
    matches = difflib.get_close_matches(word, choices, n=3, cutoff=0.5)
    if matches:
        return "did you mean " + " or ".join(matches) + "?"
    return "choose from " + ", ".join(choices)


class UsageError(Exception):
    """A request that cannot be satisfied.

    The message names the option, the value and the remedy. The error ends a run with exit code 4
    before anything is measured.
    """


class UnsupportedError(Exception):
    """A valid case that this machine cannot run.

    Attributes:
        axis: The axis whose value is unsupported, a field of `stepbench.config.case.Case`.
        reason: The error's message.
    """

    def __init__(self, axis: str, reason: str) -> None:
        super().__init__(axis, reason)
        self.axis = axis
        self.reason = reason

    def __str__(self) -> str:
        """The reason alone."""
        return self.reason
