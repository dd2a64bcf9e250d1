"""Selects a run's cases and compares them with each other: `--where`, `--by`, `--baseline`."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from stepbench_reports.analysis import comparison
from stepbench_reports.analysis.stats import UNKNOWN, Interval
from stepbench_reports.errors import ReportError
from stepbench_reports.read.axis_values import axes_key, varying
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.ratio import mean_ratio
from stepbench_reports.read.run import Run
from stepbench_reports.schema.axes import AxisValue
from stepbench_reports.schema.axis_labels import workload_label
from stepbench_reports.wording import naming, quantity
from stepbench_reports.wording.markup import Grid, escaped, grid

SLICE_BYTES = 1_000_000
"""The maximum size of a table's rows, bytes."""
_Pair = tuple[Measurement, Measurement]
"""A case, and the case that it is compared with."""
MEAN = "geometric mean of the ratios"
"""The label of the row of means; no other mean over unlike cases is shown."""


def where(run: Run, condition: str) -> Run:
    """Selects the cases that meet a condition.

    Args:
        run: The run.
        condition: An expression of pandas over the columns of `Run.cases`, such as
            `device == "cpu" and batch_size >= 32`.

    Raises:
        ReportError: The condition is invalid, or no case meets it.
    """
    selected = matching(run, condition)
    if not selected.measurements:
        raise ReportError(
            f"--where {condition}: no case meets the condition; the run has "
            f"{len(run.measurements)} cases, whose values `stepbench report` shows"
        )
    return selected


def matching(run: Run, condition: str) -> Run:
    """Selects the cases that meet a condition, as `where` does, but allows that there are none."""
    try:
        selected = set(run.cases.query(condition)["id"])
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ReportError(
            f"--where {condition}: {reason}; give a condition over the columns of cases, such as "
            f"'device == \"cpu\" and batch_size >= 32'"
        ) from error
    return replace(run, measurements=tuple(m for m in run.measurements if m.id in selected))


def by(run: Run, axis: str) -> Grid:
    """Makes a table of samples/s with a column for each value of an axis.

    The last column and the means give ratios to the first value. Cases that failed parity are
    struck through; no mean includes them, or cases of which interference left too few turns.

    Raises:
        ReportError: The run has no such axis.
    """
    axis = _axis(run, "--by", axis)
    measured = run.measured
    values = list(dict.fromkeys(m.axes.get(axis) for m in measured))
    rows = _rows(measured, axis, values)
    other_axes = [name for name in varying(run.axis_names, measured) if name != axis]
    cells = []
    pairs: dict[AxisValue, list[_Pair]] = {value: [] for value in values}
    for row in rows:
        first = row.get(values[0])
        for value, m in row.items():
            if first is not None and m.counts and first.counts:
                pairs[value].append((m, first))
        last = _ratio(run, row.get(values[-1]), first) if len(values) > 1 else UNKNOWN
        rates = [_rate(row[value]) if value in row else quantity.NOTHING for value in values]
        cells.append([_name(row, other_axes), *rates, quantity.times_range(last)])
    means = [quantity.times(_mean(run, column)) for column in pairs.values()]
    cells.append([f"**{MEAN}**", *means, ""])
    headings = ["case", *(escaped(naming.setting_words({axis: value}, [axis])) for value in values)]
    headings.append("last / first")
    return grid(headings, "l" + "r" * (len(headings) - 1), cells, SLICE_BYTES)


def baseline(run: Run, setting: str) -> Grid:
    """Makes a table of speed-ups over the same cases with a reference value on one axis.

    Args:
        run: The run.
        setting: The axis and the reference value, such as `compile=off`.

    Raises:
        ReportError: The run has no such axis or value.
    """
    name, equals, spelling = setting.partition("=")
    if not equals:
        raise ReportError(f"--baseline {setting}: give an axis and a value, such as compile=off")
    axis = _axis(run, "--baseline", name)
    measured = run.measured
    values = list(dict.fromkeys(m.axes.get(axis) for m in measured))
    matches = [value for value in values if spelling.lower() in _spellings(value)]
    if not matches:
        raise ReportError(
            f"--baseline {setting}: no case has this value; give one of "
            f"{', '.join(_spellings(value)[0] for value in values)}"
        )
    baseline_value = matches[0]
    by_axes = {axes_key(m.axes): m for m in measured}
    other_axes = [name for name in varying(run.axis_names, measured) if name != axis]
    cells: list[list[str]] = []
    pairs: list[_Pair] = []
    for m in measured:
        if m.axes.get(axis) == baseline_value:
            continue
        base = by_axes.get(axes_key(comparison.with_value(m.axes, axis, baseline_value)))
        ratio = _ratio(run, m, base)
        ratio_text = quantity.times_range(ratio)
        failed = m.parity.failed or (base is not None and base.parity.failed)
        cells.append(
            [
                _name({None: m}, other_axes),
                escaped(naming.setting_words(m.axes, [axis])),
                "" if base is None else _rate(base),
                _rate(m),
                f"~~{ratio_text}~~" if failed and ratio_text else ratio_text,
            ]
        )
        if m.counts and base is not None and base.counts:
            pairs.append((m, base))
    cells.append([f"**{MEAN}**", "", "", "", quantity.times_range(_mean(run, pairs))])
    headings = [
        "case", axis.replace("_", " "), f"{escaped(setting)}, samples/s", "samples/s", "ratio",
    ]  # fmt: skip
    return grid(headings, "llrrr", cells, SLICE_BYTES)


def _axis(run: Run, option: str, argument: str) -> str:
    name = argument.strip().removeprefix("--").replace("-", "_")
    if name in run.axis_names:
        return name
    closest = difflib.get_close_matches(name, run.axis_names, n=3, cutoff=0.4) or run.axis_names
    raise ReportError(
        f"{option} {argument}: there is no such axis; give one of {', '.join(closest)}"
    )


def _spellings(value: object) -> tuple[str, ...]:
    """The accepted spellings of a value, in lower case, that of the command line first."""
    if isinstance(value, bool):
        return ("on", "true") if value else ("off", "false")
    return (str(value).lower(),)


def _rows(
    measured: Iterable[Measurement], axis: str, values: Sequence[AxisValue]
) -> list[dict[AxisValue, Measurement]]:
    """Groups cases that differ only in `axis` (and in axes it makes moot), by the value on it."""
    by_axes = {axes_key(m.axes): m for m in measured}
    rows: dict[str, dict[AxisValue, Measurement]] = {}
    for m in by_axes.values():
        other_axes = {name: value for name, value in m.axes.items() if name != axis}
        by_value = {
            value: by_axes.get(axes_key(comparison.with_value(m.axes, axis, value)))
            for value in values
        }
        rows[axes_key(other_axes)] = {
            value: measurement for value, measurement in by_value.items() if measurement is not None
        }
    paired = {m.id for row in rows.values() if len(row) > 1 for m in row.values()}
    return [
        row for row in rows.values() if len(row) > 1 or not {m.id for m in row.values()} & paired
    ]


def _name(row: Mapping[AxisValue, Measurement], other_axes: Sequence[str]) -> str:
    axes = list(row.values())[-1].axes  # the moot axes have meaning at the last value, if at any
    return escaped(naming.label(axes, other_axes) or workload_label(str(axes["workload"])))


def _rate(m: Measurement) -> str:
    rate = quantity.rate(m.samples_per_s)
    return f"~~{rate}~~" if m.parity.failed else rate


def _ratio(run: Run, m: Measurement | None, base: Measurement | None) -> Interval:
    """A case's samples/s divided by those of `base`."""
    if m is None or base is None:
        return UNKNOWN
    return run.ratio_of(m, base).interval


def _mean(run: Run, pairs: Sequence[_Pair]) -> Interval:
    return mean_ratio(pairs, run.linking) if pairs else UNKNOWN
