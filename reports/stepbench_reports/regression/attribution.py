"""Finds the operators that grew from base to head, from a trace of each side."""

import pandas as pd

from stepbench_reports.analysis import operators
from stepbench_reports.regression.records import Check
from stepbench_reports.schema.check import SIDES, OperatorsFact

MOST_OPERATORS = 5
"""The most operators that are reported for a case."""
LEAST_SHARE = 0.05
"""An operator is reported if its growth is at least this share of the largest growth."""
LEAST_S = 1e-6


def grown(check: Check, case: str, phase: str | None) -> pd.DataFrame | None:
    """The operators of a case that grew most; only those of `phase` if any grew in that phase.

    Returns:
        Columns `phase`, `operator`, `base_s`, `head_s` and `grown_s`, self seconds per step;
        `None` if a side was not traced.
    """
    found = {
        fact.side: operators.per_step(fact.breakdown.rows, fact.breakdown.steps)
        for fact in check.found(OperatorsFact)
        if fact.case == case
    }
    if set(found) != set(SIDES):
        return None
    both = operators.between(*(found[side] for side in SIDES), keys=["phase", "operator"])
    both = both.rename(columns={"a_s": "base_s", "b_s": "head_s", "difference_s": "grown_s"})
    both = both[both["grown_s"] > LEAST_S]  # already sorted, the largest first
    own = both[both["phase"] == phase]
    both = own if len(own) else both
    if both.empty:
        return both
    least_s = LEAST_SHARE * both["grown_s"].iloc[0]
    return pd.DataFrame(both[both["grown_s"] >= least_s]).head(MOST_OPERATORS)
