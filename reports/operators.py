"""Operators by phase: a frame of all of them, and what accounts for the difference of two cases."""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from . import naming, quantity
from .errors import ReportError
from .frame import Run
from .measurement import Measurement

PER_STEP = ("calls", "host_self_s", "device_self_s", "allocated_bytes")
"""Figures that a frame has per step."""
MOST_ROWS = 25
"""How many operators a difference shows, unless all are asked for."""


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


def per_step(rows: Iterable[Mapping[str, Any]], steps: int) -> pd.DataFrame:
    """A breakdown's rows as a frame, their figures per step."""
    found = pd.DataFrame(list(rows))
    for name in PER_STEP:
        found[name] = found[name] / steps
    return found


def without_shapes(operators: pd.DataFrame) -> pd.DataFrame:
    """The same with a row for each case, phase and operator, the longest first."""
    summed = operators.groupby(["case", "phase", "operator"], sort=False, as_index=False)[
        [*PER_STEP, "share"]
    ].sum()
    return summed.sort_values("share", ascending=False, kind="stable")


def find(run: Run, word: str) -> Measurement:
    """A profiled case by its id, or by a part of it that no other has.

    Raises:
        ReportError: There is none, there are several, or it was not profiled.
    """
    named = [m for m in run.measurements if m.id == word]
    named = named or [m for m in run.measurements if word in m.id]
    ids = [m.id for m in run.measurements]
    if not named:
        near = difflib.get_close_matches(word, ids, n=3, cutoff=0.3) or ids[:3]
        raise ReportError(f"--operators {word}: no case is called so; there is {', '.join(near)}")
    if len(named) > 1:
        raise ReportError(
            f"--operators {word}: {len(named)} cases are called so, such as {named[0].id} and "
            f"{named[1].id}; give more of the name"
        )
    if not named[0].profile.steps:
        raise ReportError(
            f"--operators {word}: {named[0].id} was not profiled; run it with --profile"
        )
    return named[0]


def difference(run: Run, a: Measurement, b: Measurement, *, shapes: bool = False) -> pd.DataFrame:
    """Which operators account for the difference between two cases, the largest first.

    Args:
        run: Their run.
        a: What is compared with.
        b: What is compared.
        shapes: Whether the shapes of inputs tell operators apart.

    Returns:
        A row for each phase and operator (and shapes): calls and self seconds per step of both, `a`
        and `b`, and `difference_s`, b less a. Their sum is the difference of the profiled steps'
        phases. Seconds are the device's where both have any, else the host's.
    """
    all_rows = frame(run)
    keys = ["phase", "operator", *(["shapes"] if shapes else [])]
    return between(*(all_rows[all_rows["case"] == m.id] for m in (a, b)), keys=keys)


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


def told(
    run: Run, a: Measurement, b: Measurement, *, shapes: bool = False, most: int = MOST_ROWS
) -> Table:
    """The difference of two cases as a table for a terminal: per step, in µs."""
    found = difference(run, a, b, shapes=shapes)
    names = [naming.label(m.axes, naming.varying(run.axis_names, [a, b])) or m.id for m in (a, b)]
    whole = found[["a_s", "b_s", "difference_s"]].sum()
    table = Table(
        title=Text(
            f"{names[1]} against {names[0]}: self time by the {found.attrs['clock']}'s clock, "
            f"µs a step; {a.profile.steps} and {b.profile.steps} profiled steps"
        ),
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("phase")
    table.add_column("operator", overflow="fold")
    if shapes:
        table.add_column("shapes", overflow="fold")
    heads = ("calls", names[0], names[1], "difference", "ratio")
    for head in heads:
        table.add_column(Text(head), justify="right")
    blank = [""] if shapes else []
    table.add_row("all", "", *blank, "", *_times(*whole), style="bold")
    for row in found.head(most).to_dict("records"):
        calls = f"{row['calls_a']:g}/{row['calls_b']:g}"
        cells = [str(row["phase"]), str(row["operator"])]
        cells += [str(row["shapes"])] if shapes else []
        table.add_row(
            *map(Text, cells), calls, *_times(row["a_s"], row["b_s"], row["difference_s"])
        )
    rest = found.iloc[most:]
    if len(rest):
        sums = rest[["a_s", "b_s", "difference_s"]].sum()
        table.add_row("", f"{len(rest)} others", *blank, "", *_times(*sums), style="dim")
    return table


def _times(a_s: float, b_s: float, difference_s: float) -> Sequence[str]:
    ratio = f"{b_s / a_s:.2f}{quantity.TIMES}" if a_s > 0 and b_s > 0 else ""
    return micro(a_s), micro(b_s), f"{difference_s * 1e6:+,.0f}", ratio


def micro(seconds: float) -> str:
    """A duration in microseconds, without the unit; nothing for none."""
    if not math.isfinite(seconds) or seconds == 0:
        return quantity.NOTHING
    return f"{seconds * 1e6:,.0f}" if seconds >= 1e-5 else f"{seconds * 1e6:.1f}"
