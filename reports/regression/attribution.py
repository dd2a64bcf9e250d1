"""Which operators grew, from a trace of each side."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from .records import SIDES, Check

MOST_OPERATORS = 5
"""So many are told of in a case."""
LEAST_SHARE = 0.05
"""An operator is told of where it grew by this share of what the one that grew most did."""
LEAST_S = 1e-6


def operators(check: Check, case: str) -> pd.DataFrame | None:
    """Operators by phase with their seconds per step on each side, those that grew most first.

    Returns:
        Columns `phase`, `operator`, `base_s`, `head_s`, `grown_s`, of self times by the device's
        clock where it did any work, else the host's; `None` where a side was not traced.
    """
    found = {
        fact["side"]: _frame(fact["breakdown"])
        for fact in check.found("operators")
        if fact["case"] == case
    }
    if set(found) != set(SIDES):
        return None
    on_device = any(frame["device_self_s"].sum() > 0 for frame in found.values())
    by = "device_self_s" if on_device else "host_self_s"
    both = pd.concat(
        {side: frame.groupby(["phase", "operator"])[by].sum() for side, frame in found.items()},
        axis="columns",
    ).fillna(0.0)
    both = both.rename(columns={side: f"{side}_s" for side in SIDES}).reset_index()
    both["grown_s"] = both["head_s"] - both["base_s"]
    both = both.sort_values("grown_s", ascending=False, kind="stable", ignore_index=True)
    return pd.DataFrame(both)


def grown(check: Check, case: str, phase: str | None) -> pd.DataFrame | None:
    """The few that grew most, of the phase that is blamed where they are in it."""
    found = operators(check, case)
    if found is None:
        return None
    found = found[found["grown_s"] > LEAST_S]
    own = found[found["phase"] == phase]
    found = own if len(own) else found
    if found.empty:
        return found
    least_s = LEAST_SHARE * found["grown_s"].iloc[0]
    return pd.DataFrame(found[found["grown_s"] >= least_s]).head(MOST_OPERATORS)


def _frame(breakdown: Mapping[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(breakdown["rows"])
    for name in ("host_self_s", "device_self_s"):
        frame[name] /= breakdown["steps"]
    return frame
