"""The tables of `report.md` that have a row for each case."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from . import bound_words, naming, parity, quantity, words
from .frame import Run
from .markup import Grid, escaped, grid
from .measurement import STEP, Measurement

CASES_BYTES = 16_000
"""What the table of cases may take."""
QUANTILES_BYTES = 7_000
"""What the table of quantiles may take."""
ONCE_BYTES = 3_500
"""What the table of start, first step and memory may take."""

Column = Callable[[Measurement], str]
"""A case's cell, escaped where others wrote it."""


def cases(run: Run, size_bytes: int = CASES_BYTES) -> Grid:
    """Every case that was tried: medians and shares, throughput, speed-up, and what bounds it.

    Args:
        run: The run.
        size_bytes: What the rows may take.
    """
    tried = [m for m in run.measurements if m.axes]
    heads, alignment = case_columns(run, tried)
    columns: dict[str, Column] = {
        **{phase: _median_and_share(phase) for phase in run.phase_names},
        STEP: lambda m: f"**{quantity.milliseconds(m.step)}**" if m.ok else "",
        "±": lambda m: quantity.uncertainty(m.step.relative_half_width),
        "samples/s": lambda m: (
            quantity.rate(m.samples_per_s) if m.ok else f"**{escaped(words.status(m.status))}**"
        ),
    }
    if run.speedups:
        columns["speed-up"] = lambda m: _speedup(run, m)
    if any(m.parity.known for m in tried):
        columns["parity"] = lambda m: parity.cell(m.parity)
    if any(m.bound is not None for m in tried):
        columns["bound"] = bound_words.cell
    if any(m.disturbed for m in tried):
        columns["noise"] = noise(lambda m: m.disturbed)
    rows = [[*case_cells(run, m), *(column(m) for column in columns.values())] for m in tried]
    return grid([*heads, *columns], alignment + "r" * len(columns), rows, size_bytes)


def quantiles(run: Run) -> Grid:
    """Every phase of every case: its quantiles in ms, by the clock that counts."""
    heads, alignment = case_columns(run, [m for m in run.measurements if m.axes])
    figures = ["n", "5 %", "median", "95 % interval", "mean", "95 %", "share"]
    cells = {m.id: (m, case_cells(run, m)) for m in run.measurements if m.ok}
    rows = []
    for row in run.phases.to_dict("records"):
        measurement, names = cells[row["case"]]
        phase = str(row["phase"])
        if row["clock"] == measurement.clock:
            share = "" if phase == STEP else quantity.percent(row["share"])
            rows.append([*names, escaped(phase), *_spread(row), share])
    return grid(
        [*heads, "phase", *figures],
        f"{alignment}l{'r' * len(figures)}",
        rows,
        QUANTILES_BYTES,
    )


def once(run: Run) -> Grid:
    """What happens once a case, and peak memory."""
    columns: dict[str, Column] = {
        "process start": lambda m: quantity.seconds(m.figure("start_s")),
        "first step": lambda m: quantity.seconds(m.figure("first_step_s")),
        "warm-up": _warmup,
        "host peak, MiB": lambda m: quantity.mebibytes(m.figure("memory", "host_peak_bytes")),
        "device peak, MiB": lambda m: quantity.mebibytes(
            m.figure("memory", "device_peak_allocated_bytes")
        ),
        "in warm-up, MiB": lambda m: quantity.mebibytes(
            m.figure("memory", "warmup", "device_peak_allocated_bytes")
        ),
        "laps / bare": lambda m: ratio(m.lapped_per_bare),
        "whole case": lambda m: quantity.seconds(m.figure("elapsed_s")),
    }
    return filled(run, [m for m in run.measurements if m.ok], columns, ONCE_BYTES)


def filled(
    run: Run, measured: Sequence[Measurement], columns: Mapping[str, Column], size_bytes: int
) -> Grid:
    """A table of those columns that have a figure in any row.

    Args:
        run: The run.
        measured: Its cases to show.
        columns: What to show of each, by the column's head.
        size_bytes: What the rows may take.
    """
    heads, alignment = case_columns(run, [m for m in run.measurements if m.axes])
    rows = [[column(m) for column in columns.values()] for m in measured]
    used = [i for i, _ in enumerate(columns) if any(row[i] for row in rows)]
    names = list(columns)
    return grid(
        [*heads, *(names[i] for i in used)],
        alignment + "r" * len(used),
        [
            [*case_cells(run, m), *(row[i] for i in used)]
            for m, row in zip(measured, rows, strict=True)
        ],
        size_bytes,
    )


def case_columns(run: Run, cases: Sequence[Measurement]) -> tuple[list[str], str]:
    """Heads and alignment of the columns that tell cases apart: one for each axis that varies."""
    names = words.varying(run)
    if not names:
        return ["case"], "l"
    numeric = [all(_is_count(m.axes.get(name)) for m in cases) for name in names]
    return [naming.head(name) for name in names], "".join("r" if n else "l" for n in numeric)


def case_cells(run: Run, measurement: Measurement) -> list[str]:
    """What tells a case apart, in these columns."""
    names = words.varying(run)
    if not names:
        return [escaped(measurement.id)]
    return [escaped(naming.cell(measurement.axes, name)) for name in names]


def count(number: float) -> str:
    """A whole number; nothing for NaN."""
    return f"{number:,.0f}" if math.isfinite(number) else quantity.NOTHING


def ratio(number: float) -> str:
    """A ratio close to 1, to thousandths; nothing for NaN."""
    return f"{number:.3f}" if math.isfinite(number) else quantity.NOTHING


def noise(disturbed: Callable[[Measurement], bool]) -> Column:
    """A column of marks at what others on the machine disturbed."""
    return lambda measurement: f"{words.DISTURBED} disturbed" if disturbed(measurement) else ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _median_and_share(phase: str) -> Column:
    def column(measurement: Measurement) -> str:
        median = measurement.medians.get(phase)
        if median is None:
            return quantity.NOTHING
        share = quantity.percent(measurement.shares[phase])
        return (
            f"{quantity.milliseconds(median)} ({share})" if share else quantity.milliseconds(median)
        )

    return column


def _speedup(run: Run, measurement: Measurement) -> str:
    found = run.speedups.get(measurement.id)
    if found is None:
        return words.speedup(run, measurement)
    ratio = quantity.times_range(found.ratio)
    return f"~~{ratio}~~" if measurement.parity.lost else ratio


def _spread(row: Mapping[Hashable, Any]) -> list[str]:
    """A phase's quantiles in ms, all with the digits of the median."""
    half_width_ms = (row["high_s"] - row["low_s"]) / 2 * 1e3

    def ms(name: str) -> str:
        return quantity.number(row[name] * 1e3, half_width_ms)

    low, high = ms("low_s"), ms("high_s")
    interval = f"{low}{quantity.DASH}{high}" if low and high else ""
    return [str(row["n"]), ms("p05_s"), ms("median_s"), interval, ms("mean_s"), ms("p95_s")]


def _warmup(measurement: Measurement) -> str:
    steps = count(measurement.figure("warmup", "steps"))
    elapsed = quantity.seconds(measurement.figure("warmup", "elapsed_s"))
    return f"{steps} steps, {elapsed}" if steps and elapsed else steps or elapsed
