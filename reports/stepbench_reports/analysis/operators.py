"""Operators by phase: figures per step, and comparison of two cases."""

from collections.abc import Sequence

import pandas as pd

from stepbench_reports.schema.profile import OperatorRow

PER_STEP = ("calls", "host_self_s", "device_self_s", "allocated_bytes")
"""The columns whose figures are per step."""


def per_step(rows: Sequence[OperatorRow], steps: int) -> pd.DataFrame:
    """Converts the rows of a profile to a frame with figures per step.

    Args:
        rows: The rows, with totals over all profiled steps.
        steps: The number of profiled steps.
    """
    names = OperatorRow.__struct_fields__
    frame = pd.DataFrame({name: [getattr(row, name) for row in rows] for name in names})
    for name in PER_STEP:
        frame[name] = frame[name] / steps
    return frame


def compare(a: pd.DataFrame, b: pd.DataFrame, *, keys: Sequence[str]) -> pd.DataFrame:
    """Compares two frames of operators; `comparing.operators.difference` describes the result.

    Args:
        a: The reference, with figures per step.
        b: The frame that is compared with `a`, with figures per step.
        keys: The columns that identify an operator.
    """
    on_device = all(side["device_self_s"].sum() > 0 for side in (a, b))
    column = "device_self_s" if on_device else "host_self_s"
    sides = [
        side.groupby(list(keys), sort=False)[["calls", column]].sum().add_suffix(suffix)
        for side, suffix in ((a, "_a"), (b, "_b"))
    ]
    joined = sides[0].join(sides[1], how="outer").fillna(0.0)
    joined = joined.rename(columns={f"{column}_a": "a_s", f"{column}_b": "b_s"}).reset_index()
    joined["difference_s"] = joined["b_s"] - joined["a_s"]
    order = joined["difference_s"].abs().sort_values(ascending=False, kind="stable").index
    joined = joined.loc[order].reset_index(drop=True)
    joined.attrs["clock"] = "device" if on_device else "host"
    return joined
