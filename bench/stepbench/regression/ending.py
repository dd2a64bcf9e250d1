"""Ends a check without a verdict: the reason, and a last line with the exit code."""

import sys

from stepbench.regression import github
from stepbench_reports.command_line import USAGE_ERROR, print_error
from stepbench_reports.schema.verdict import EXIT_CODES, CheckOutcome
from stepbench_reports.wording.markup import escaped

NOT_COMPARED = EXIT_CODES[CheckOutcome.NOT_COMPARED]


def stop(code: int, message: str) -> int:
    """Reports the end of a check without a verdict.

    Args:
        code: `USAGE_ERROR` or `NOT_COMPARED`.
        message: The reason and the remedy.

    Returns:
        The exit code.
    """
    print_error(message)
    github.append_to_summary(f"### ❌ stepbench: {escaped(message)}")
    github.annotate("error", message)
    return last_line(code)


def last_line(code: int) -> int:
    """Prints the last line of a check without a verdict; returns the exit code."""
    words = "wrong usage" if code == USAGE_ERROR else "the check failed, and compared nothing"
    print(f"exit code {code}: {words}", file=sys.stderr)
    return code
