"""A frame of all the operators of a profiled run."""

import pandas as pd

from stepbench_reports.analysis.operators import PER_STEP, per_step
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run


def frame(run: Run) -> pd.DataFrame:
    """A row for each case, phase, operator and shapes of its inputs; figures are per step.

    | column | |
    | --- | --- |
    | `case`, `phase`, `operator`, `shapes` | what was called, and where |
    | `calls` | how often |
    | `host_self_s` | seconds on the host, without the operators that it called |
    | `device_self_s` | seconds of the device's work that it asked for itself |
    | `allocated_bytes` | what it allocated itself, freed again or not |
    | `share` | of all that the case's steps took: of the device's time where it has any, else of
      the host's |
    """
    parts = [_of_case(measurement) for measurement in run.measurements if measurement.profile.steps]
    columns = ["case", "phase", "operator", "shapes", *PER_STEP, "share"]
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True)[columns]


def _of_case(measurement: Measurement) -> pd.DataFrame:
    profile = measurement.profile
    found = per_step(profile.operators, profile.steps)
    by = "device_self_s" if found["device_self_s"].sum() > 0 else "host_self_s"
    return found.assign(case=measurement.id, share=found[by] / found[by].sum())


def without_shapes(operators: pd.DataFrame) -> pd.DataFrame:
    """The same with a row for each case, phase and operator, the longest first."""
    summed = operators.groupby(["case", "phase", "operator"], sort=False, as_index=False)[
        [*PER_STEP, "share"]
    ].sum()
    return summed.sort_values("share", ascending=False, kind="stable")
