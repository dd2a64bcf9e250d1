"""The words of a verdict."""

from enum import StrEnum


class Verdict(StrEnum):
    """What is said of a row or a fact."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    PASS = "pass"  # noqa: S105  # no password
    INCONCLUSIVE = "inconclusive"
