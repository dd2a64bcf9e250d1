"""Compares the operators of two profiled cases."""

import difflib
from collections.abc import Sequence

import pandas as pd
from rich.table import Table
from rich.text import Text

from stepbench_reports.analysis.operators import compare
from stepbench_reports.errors import ReportError
from stepbench_reports.read.axis_values import varying
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.operators import frame
from stepbench_reports.read.run import Run
from stepbench_reports.schema.files import PROFILES
from stepbench_reports.wording import naming, quantity
from stepbench_reports.wording.quantity import micro

MAX_ROWS = 25
"""The number of operators that a table shows by default."""


def find(run: Run, name: str) -> Measurement:
    """Finds a profiled case by its id, or by a part that is in one id only.

    Raises:
        ReportError: No case or several cases match, or the case's profile is missing or damaged.
    """
    matches = [m for m in run.measurements if m.id == name]
    matches = matches or [m for m in run.measurements if name in m.id]
    ids = [m.id for m in run.measurements]
    if not matches:
        closest = difflib.get_close_matches(name, ids, n=3, cutoff=0.3) or ids[:3]
        raise ReportError(
            f"--operators {name}: there is no such case; the closest are {', '.join(closest)}"
        )
    if len(matches) > 1:
        raise ReportError(
            f"--operators {name}: matches {len(matches)} cases, such as {matches[0].id} and "
            f"{matches[1].id}; give a longer part of the name"
        )
    if not matches[0].profile.steps:
        raise ReportError(f"--operators {name}: {_no_profile_reason(run, matches[0].id)}")
    return matches[0]


def _no_profile_reason(run: Run, case_id: str) -> str:
    problems = [p for p in run.problems if p.startswith(f"{PROFILES}/{case_id}.json: ")]
    return problems[0] if problems else f"{case_id} was not profiled; run it with --profile"


def difference(run: Run, a: Measurement, b: Measurement, *, shapes: bool = False) -> pd.DataFrame:
    """Computes the difference in time between two cases, by operator, the largest first.

    Args:
        run: The run of both cases.
        a: The case that is the reference.
        b: The case that is compared with `a`.
        shapes: True to distinguish calls of an operator by the shapes of their inputs.

    Returns:
        A row for each phase and operator (and shapes): calls and self seconds per step of both, `a`
        and `b`, and `difference_s`, b - a. The differences sum to that of the profiled steps'
        phases. Seconds are by the device's clock if both cases have device time, else the host's.
    """
    operators = frame(run)
    keys = ["phase", "operator", *(["shapes"] if shapes else [])]
    return compare(*(operators[operators["case"] == m.id] for m in (a, b)), keys=keys)


def table(
    run: Run, a: Measurement, b: Measurement, *, shapes: bool = False, max_rows: int = MAX_ROWS
) -> Table:
    """Formats the difference of each operator, `b` less `a`, in µs per step, for a terminal.

    Args:
        run: The run of both cases.
        a: The case that is compared with.
        b: The case that is compared.
        shapes: True distinguishes operators by the shapes of their inputs.
        max_rows: The maximum number of operators, those with the largest differences first.
    """
    rows = difference(run, a, b, shapes=shapes)
    names = [naming.label(m.axes, varying(run.axis_names, [a, b])) or m.id for m in (a, b)]
    totals = rows[["a_s", "b_s", "difference_s"]].sum()
    table = Table(
        title=Text(
            f"{names[1]} against {names[0]}: self time by the {rows.attrs['clock']} clock, "
            f"µs per step; {a.profile.steps} and {b.profile.steps} profiled steps"
        ),
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("phase")
    table.add_column("operator", overflow="fold")
    if shapes:
        table.add_column("shapes", overflow="fold")
    headings = ("calls", names[0], names[1], "difference", "ratio")
    for heading in headings:
        table.add_column(Text(heading), justify="right")
    blank = [""] if shapes else []
    table.add_row("all", "", *blank, "", *_times(*totals), style="bold")
    for row in rows.head(max_rows).to_dict("records"):
        calls = f"{row['calls_a']:g}/{row['calls_b']:g}"
        cells = [str(row["phase"]), str(row["operator"])]
        cells += [str(row["shapes"])] if shapes else []
        table.add_row(
            *map(Text, cells), calls, *_times(row["a_s"], row["b_s"], row["difference_s"])
        )
    rest = rows.iloc[max_rows:]
    if len(rest):
        sums = rest[["a_s", "b_s", "difference_s"]].sum()
        table.add_row("", f"{len(rest)} others", *blank, "", *_times(*sums), style="dim")
    return table


def _times(a_s: float, b_s: float, difference_s: float) -> Sequence[str]:
    ratio = f"{b_s / a_s:.2f}{quantity.TIMES}" if a_s > 0 and b_s > 0 else ""
    return micro(a_s), micro(b_s), f"{difference_s * 1e6:+,.0f}", ratio
