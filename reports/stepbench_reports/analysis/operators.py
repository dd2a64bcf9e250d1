"""Operators by phase, per step, and side by side."""

from collections.abc import Sequence

import pandas as pd

from stepbench_reports.schema.profile import OperatorRow

PER_STEP = ("calls", "host_self_s", "device_self_s", "allocated_bytes")
"""Figures that a frame has per step."""


def per_step(rows: Sequence[OperatorRow], steps: int) -> pd.DataFrame:
    """A breakdown's rows as a frame, their figures per step.

    Args:
        rows: The rows, over all profiled steps.
        steps: The steps that were profiled.
    """
    names = OperatorRow.__struct_fields__
    found = pd.DataFrame({name: [getattr(row, name) for row in rows] for name in names})
    for name in PER_STEP:
        found[name] = found[name] / steps
    return found


def between(a: pd.DataFrame, b: pd.DataFrame, *, keys: Sequence[str]) -> pd.DataFrame:
    """Two frames of operators, figures per step, side by side: see `difference`.

    Args:
        a: What is compared with.
        b: What is compared.
        keys: The columns that tell operators apart.
    """
    on_device = all(side["device_self_s"].sum() > 0 for side in (a, b))
    by = "device_self_s" if on_device else "host_self_s"
    sides = [
        side.groupby(list(keys), sort=False)[["calls", by]].sum().add_suffix(suffix)
        for side, suffix in ((a, "_a"), (b, "_b"))
    ]
    both = sides[0].join(sides[1], how="outer").fillna(0.0)
    both = both.rename(columns={f"{by}_a": "a_s", f"{by}_b": "b_s"}).reset_index()
    both["difference_s"] = both["b_s"] - both["a_s"]
    order = both["difference_s"].abs().sort_values(ascending=False, kind="stable").index
    both = both.loc[order].reset_index(drop=True)
    both.attrs["clock"] = "device" if on_device else "host"
    return both
