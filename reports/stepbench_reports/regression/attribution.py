"""Finds the operators that grew from base to head, from a trace of each side."""

import pandas as pd

from stepbench_reports.analysis import operators
from stepbench_reports.regression.records import Check
from stepbench_reports.schema.check import SIDES, OperatorsFact

MAX_OPERATORS = 5
"""The most operators that are reported for a case."""
MIN_SHARE = 0.05
"""An operator is reported if its growth is at least this share of the largest growth."""
MIN_S = 1e-6


def grown(check: Check, case: str, phase: str | None) -> pd.DataFrame | None:
    """The operators of a case that grew most; only those of `phase` if any grew in that phase.

    Returns:
        Columns `phase`, `operator`, `base_s`, `head_s` and `grown_s`, self seconds per step;
        `None` if a side was not traced.
    """
    by_side = {
        fact.side: operators.per_step(fact.breakdown.rows, fact.breakdown.steps)
        for fact in check.facts_of(OperatorsFact)
        if fact.case == case
    }
    if set(by_side) != set(SIDES):
        return None
    table = operators.compare(*(by_side[side] for side in SIDES), keys=["phase", "operator"])
    table = table.rename(columns={"a_s": "base_s", "b_s": "head_s", "difference_s": "grown_s"})
    table = table[table["grown_s"] > MIN_S]  # already sorted, the largest first
    in_phase = table[table["phase"] == phase]
    table = in_phase if len(in_phase) else table
    if table.empty:
        return table
    min_s = MIN_SHARE * table["grown_s"].iloc[0]
    return pd.DataFrame(table[table["grown_s"] >= min_s]).head(MAX_OPERATORS)
