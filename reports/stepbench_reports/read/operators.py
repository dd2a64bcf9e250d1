"""Builds a frame of all the operators of a profiled run."""

import pandas as pd

from stepbench_reports.analysis.operators import PER_STEP, per_step
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run


def frame(run: Run) -> pd.DataFrame:
    """A row for each case, phase, operator and input shapes; figures are per step.

    | column | |
    | --- | --- |
    | `case`, `phase`, `operator`, `shapes` | the operator, its input shapes, and the case and phase
      of the calls |
    | `calls` | the number of calls |
    | `host_self_s` | seconds on the host, without nested operators |
    | `device_self_s` | seconds of device work that the operator itself launched |
    | `allocated_bytes` | bytes that the operator itself allocated, freed again or not |
    | `share` | the share of the case's total `device_self_s`, or of `host_self_s` if the device's
      total is 0 |
    """
    frames = [
        _case_frame(measurement) for measurement in run.measurements if measurement.profile.steps
    ]
    columns = ["case", "phase", "operator", "shapes", *PER_STEP, "share"]
    if not frames:
        return pd.DataFrame(columns=columns)
    return pd.concat(frames, ignore_index=True)[columns]


def _case_frame(measurement: Measurement) -> pd.DataFrame:
    profile = measurement.profile
    frame = per_step(profile.operators, profile.steps)
    column = "device_self_s" if frame["device_self_s"].sum() > 0 else "host_self_s"
    return frame.assign(case=measurement.id, share=frame[column] / frame[column].sum())


def without_shapes(operators: pd.DataFrame) -> pd.DataFrame:
    """Sums a frame's rows over input shapes, and sorts them by `share`, the largest first."""
    summed = operators.groupby(["case", "phase", "operator"], sort=False, as_index=False)[
        [*PER_STEP, "share"]
    ].sum()
    return summed.sort_values("share", ascending=False, kind="stable")
