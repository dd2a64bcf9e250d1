"""Parts of a run, and its cases side by side: `--where`, `--by`, `--baseline`."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import naming, quantity
from .errors import ReportError
from .frame import Run, axes_key
from .markup import Grid, escaped, grid
from .measurement import Measurement
from .stats import UNKNOWN, Interval, geometric_mean, ratio_interval

SLICE_BYTES = 1_000_000
"""What a table of a slice may take."""
MEAN = "geometric mean of the ratios"
"""The only mean over unlike cases that there is, and what it is called."""


def where(run: Run, condition: str) -> Run:
    """The cases of which a condition holds.

    Args:
        run: The run.
        condition: An expression of pandas over the columns of `Run.cases`, such as
            `device == "cpu" and batch_size >= 32`.

    Raises:
        ReportError: It cannot be understood, or holds of no case.
    """
    try:
        kept = set(run.cases.query(condition)["id"])
    except Exception as error:
        told = " ".join(str(error).split())[:200]
        raise ReportError(
            f"--where {condition}: {told}; give a condition over the columns of cases, such as "
            f"'device == \"cpu\" and batch_size >= 32'"
        ) from error
    if not kept:
        raise ReportError(f"--where {condition}: holds of none of {len(run.measurements)} cases")
    return replace(run, measurements=tuple(m for m in run.measurements if m.id in kept))


def by(run: Run, axis: str) -> Grid:
    """Samples/s with a column for each value of an axis, and how they compare with the first.

    Raises:
        ReportError: There is no such axis.
    """
    axis = _axis(run, "--by", axis)
    measured = [m for m in run.measurements if m.ok]
    values = list(dict.fromkeys(m.axes.get(axis) for m in measured))
    rows = _rows(measured, axis)
    others = [name for name in naming.varying(run.axis_names, measured) if name != axis]
    cells = [
        [_name(row, others), *(_rates(row, values)), _last_against_first(row, values)]
        for row in rows.values()
    ]
    ratios = [
        [_ratio(row.get(value), row.get(values[0])).value for row in rows.values()]
        for value in values
    ]
    means = [_mean(known) for known in ratios]
    cells.append([f"**{MEAN}**", *means, ""])
    heads = ["case", *(escaped(naming.setting({axis: value}, [axis])) for value in values)]
    heads.append("last against first")
    return grid(heads, "l" + "r" * (len(heads) - 1), cells, SLICE_BYTES)


def baseline(run: Run, told: str) -> Grid:
    """Every case against the same one with another value of one axis: how many times as fast.

    Args:
        run: The run.
        told: The axis and the value, such as `compile=off`.

    Raises:
        ReportError: There is no such axis or value.
    """
    name, equals, word = told.partition("=")
    if not equals:
        raise ReportError(f"--baseline {told}: give an axis and its value, such as compile=off")
    axis = _axis(run, "--baseline", name)
    measured = [m for m in run.measurements if m.ok]
    values = list(dict.fromkeys(m.axes.get(axis) for m in measured))
    chosen = [value for value in values if _spelled(value) == word.lower()]
    if not chosen:
        raise ReportError(
            f"--baseline {told}: no case has it; {axis} is "
            f"{', '.join(_spelled(value) for value in values)}"
        )
    rows = _rows(measured, axis)
    others = [name for name in naming.varying(run.axis_names, measured) if name != axis]
    cells, ratios = [], []
    for row in rows.values():
        base = row.get(chosen[0])
        for value, m in row.items():
            if value == chosen[0]:
                continue
            ratio = _ratio(m, base)
            shown = quantity.times_range(ratio)
            cells.append(
                [
                    _name(row, others),
                    escaped(naming.setting({axis: value}, [axis])),
                    "" if base is None else quantity.rate(base.samples_per_s),
                    quantity.rate(m.samples_per_s),
                    f"~~{shown}~~" if m.parity.lost else shown,
                ]
            )
            if not m.parity.lost:
                ratios.append(ratio.value)
    cells.append([f"**{MEAN}**", "", "", "", _mean(ratios)])
    heads = ["case", axis.replace("_", " "), f"{escaped(told)}, samples/s", "samples/s", "ratio"]
    return grid(heads, "llrrr", cells, SLICE_BYTES)


def _axis(run: Run, option: str, word: str) -> str:
    name = word.strip().removeprefix("--").replace("-", "_")
    if name in run.axis_names:
        return name
    near = difflib.get_close_matches(name, run.axis_names, n=3, cutoff=0.4) or run.axis_names
    raise ReportError(f"{option} {word}: there is no such axis; there is {', '.join(near)}")


def _spelled(value: object) -> str:
    """A value as the command line has it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _rows(measured: Iterable[Measurement], axis: str) -> Mapping[str, dict[Any, Measurement]]:
    """Cases that differ in one axis alone, by its value."""
    rows: dict[str, dict[Any, Measurement]] = {}
    for m in measured:
        others = {name: value for name, value in m.axes.items() if name != axis}
        rows.setdefault(axes_key(others), {})[m.axes.get(axis)] = m
    return rows


def _name(row: Mapping[Any, Measurement], others: Sequence[str]) -> str:
    axes = next(iter(row.values())).axes
    return escaped(naming.label(axes, others) or naming.workload_name(str(axes["workload"])))


def _rates(row: Mapping[Any, Measurement], values: Sequence[Any]) -> list[str]:
    return [
        quantity.rate(row[value].samples_per_s) if value in row else quantity.NOTHING
        for value in values
    ]


def _last_against_first(row: Mapping[Any, Measurement], values: Sequence[Any]) -> str:
    if len(values) < 2:
        return quantity.NOTHING
    return quantity.times_range(_ratio(row.get(values[-1]), row.get(values[0])))


def _ratio(m: Measurement | None, base: Measurement | None) -> Interval:
    """How many times as many samples/s a case has as another."""
    if m is None or base is None:
        return UNKNOWN
    return ratio_interval(m.samples_per_s, base.samples_per_s)


def _mean(ratios: Iterable[float]) -> str:
    known = [ratio for ratio in ratios if ratio > 0]
    if not known:
        return quantity.NOTHING
    return f"{quantity.number(geometric_mean(known), 0.05, 3)}{quantity.TIMES}"
