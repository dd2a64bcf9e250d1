"""`report.md`: a run as a pull request shows it.

GitHub takes 65,536 characters. The parts that grow with the number of cases share what there is,
and say how much they leave out and where it is found.
"""

import html
import math
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from . import quantity, words
from .frame import STEP, Measurement, Run
from .stats import UNKNOWN

TEMPLATES = Path(__file__).resolve().parent / "templates"
TABLE_CHARACTERS = 22_000
"""What the table of cases may take."""
QUANTILES_CHARACTERS = 14_000
"""What the table of quantiles may take."""
ONCE_CHARACTERS = 8_000
"""What the table of start, compilation and memory may take."""
FAILURES_CHARACTERS = 6_000
"""What the list of failed cases may take."""
DETAIL_CHARACTERS = 6_000
"""What the ends of failed cases' output may take together."""
LINE_CHARACTERS = 600
"""What one sentence of others' words may take: a reason, a command, a device's name."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#&])")


@dataclass(frozen=True)
class Grid:
    """A table, as Markdown's lines.

    Attributes:
        lines: Head, rule and as many rows as there is room for.
        left_out: How many rows there was no room for.
    """

    lines: tuple[str, ...]
    left_out: int


def render(run: Run) -> str:
    """A run as Markdown, of less than 65,000 characters."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  # for Markdown, others' words are escaped by `escaped`
        trim_blocks=True,
        lstrip_blocks=True,
    )
    measured = [m for m in run.measurements if m.ok]
    failed = words.failed(run)
    reasons, untold = _within(FAILURES_CHARACTERS, [_failure(m) for m in failed])
    text = environment.get_template("report.md.j2").render(
        title=escaped(words.title(run)),
        headline=escaped(words.headline(run)),
        machine=escaped(f"{words.machine(run)}; {words.packages(run)}"),
        stopping=escaped(words.stopping(run) or ""),
        missing=words.missing(run),
        resume=code(words.resume(run)),
        cases=_cases(run) if any(m.axes for m in run.measurements) else None,
        medians=words.MEDIANS,
        speedups=bool(run.speedups),
        notes=[escaped(note) for note in words.notes(run)],
        failed=reasons,
        untold=untold,
        outputs=_outputs(failed),
        clocks={m.clock for m in measured},
        overhead=_overhead(measured),
        quantiles=_quantiles(run) if measured else None,
        once=_once(run) if measured else None,
        facts=[(name, escaped(value)) for name, value in _facts(run) if value],
        command=code(str(run.facts.get("command") or "")),
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def escaped(text: str) -> str:
    """Others' words for Markdown, on one line: shown as they are, and not breaking a table."""
    line = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    return line if len(line) <= LINE_CHARACTERS else line[:LINE_CHARACTERS].rstrip("\\") + " …"


def code(text: str) -> str:
    """Others' words as code, on one line."""
    line = " ".join(text.split())
    line = line if len(line) <= LINE_CHARACTERS else line[:LINE_CHARACTERS] + " …"
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}" if line else ""


def fenced(text: str) -> str:
    """Others' words as a block of code."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def grid(
    heads: Sequence[str], alignment: str, rows: Iterable[Sequence[str]], characters: int
) -> Grid:
    """A table of as many rows as a number of characters holds.

    Args:
        heads: The columns' heads.
        alignment: A letter for each column: `l` for text, `r` for figures, whose spaces hold.
        rows: The cells, escaped where others wrote them.
        characters: What the rows may take.
    """
    rule = [":---" if side == "l" else "---:" for side in alignment]
    lines = [
        _line(
            cell if side == "l" else cell.replace(" ", "\N{NO-BREAK SPACE}")
            for cell, side in zip(row, alignment, strict=True)
        )
        for row in rows
    ]
    kept, left_out = _within(characters, lines)
    return Grid((_line(heads), _line(rule), *kept), left_out)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _within(characters: int, lines: list[str]) -> tuple[list[str], int]:
    """As many lines as fit, and how many do not."""
    kept: list[str] = []
    for line in lines:
        characters -= len(line) + 1
        if characters < 0:
            break
        kept.append(line)
    return kept, len(lines) - len(kept)


def _case_columns(run: Run, cases: Sequence[Measurement]) -> tuple[list[str], str]:
    """Heads and alignment of the columns that tell cases apart: one for each axis that varies."""
    names = words.varying(run)
    if not names:
        return ["case"], "l"
    numeric = [all(isinstance(m.axes.get(name), int) for m in cases) for name in names]
    return [words.head(name) for name in names], "".join("r" if n else "l" for n in numeric)


def _case_cells(run: Run, measurement: Measurement) -> list[str]:
    names = words.varying(run)
    if not names:
        return [escaped(measurement.id)]
    return [escaped(words.cell(measurement.axes, name)) for name in names]


def _cases(run: Run) -> Grid:
    tried = [m for m in run.measurements if m.axes]
    heads, alignment = _case_columns(run, tried)
    figures = [*run.phase_names, STEP, "±", "samples/s", *(["speed-up"] if run.speedups else [])]
    rows = [[*_case_cells(run, m), *_case_figures(run, m)] for m in tried]
    return grid([*heads, *figures], alignment + "r" * len(figures), rows, TABLE_CHARACTERS)


def _case_figures(run: Run, measurement: Measurement) -> list[str]:
    phases = [_median_and_share(measurement, phase) for phase in run.phase_names]
    if not measurement.ok:
        told = [*phases, "", "", f"**{escaped(words.status(measurement.status))}**"]
        return [*told, *([""] if run.speedups else [])]
    figures = [
        *phases,
        f"**{quantity.milliseconds(measurement.step)}**",
        quantity.uncertainty(measurement.step.relative_half_width),
        quantity.rate(measurement.samples_per_s),
    ]
    if not run.speedups:
        return figures
    speedup = run.speedups.get(measurement.id, UNKNOWN)
    ranged = quantity.times_range(speedup)
    return [*figures, ranged or words.speedup(run, measurement)]


def _median_and_share(measurement: Measurement, phase: str) -> str:
    median = measurement.medians.get(phase)
    if median is None:
        return quantity.NOTHING
    share = quantity.percent(measurement.shares[phase])
    return f"{quantity.milliseconds(median)} ({share})" if share else quantity.milliseconds(median)


def _failure(measurement: Measurement) -> str:
    reason = escaped(measurement.reason or "no reason is recorded")
    return f"- {code(measurement.id)} **{escaped(words.status(measurement.status))}**: {reason}"


def _outputs(failed: Sequence[Measurement]) -> list[tuple[str, str]]:
    """The ends of what failed cases printed, as many as there is room for."""
    told, room = [], DETAIL_CHARACTERS
    for measurement in failed:
        detail = measurement.fact("detail")
        if not isinstance(detail, str) or not detail.strip():
            continue
        end = detail.strip()[-DETAIL_CHARACTERS // 2 :]
        room -= len(end)
        if room < 0:
            break
        told.append((html.escape(measurement.id), fenced(end)))
    return told


def _quantiles(run: Run) -> Grid:
    heads, alignment = _case_columns(run, [m for m in run.measurements if m.axes])
    figures = ["n", "5 %", "median", "95 % interval", "mean", "95 %", "share"]
    cells = {m.id: (m, _case_cells(run, m)) for m in run.measurements if m.ok}
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
        QUANTILES_CHARACTERS,
    )


def _spread(row: Mapping[Hashable, Any]) -> list[str]:
    """A phase's quantiles in ms, all with the digits of the median."""
    half_width_ms = (row["high_s"] - row["low_s"]) / 2 * 1e3

    def ms(name: str) -> str:
        return quantity.number(row[name] * 1e3, half_width_ms)

    low, high = ms("low_s"), ms("high_s")
    interval = f"{low}{quantity.DASH}{high}" if low and high else ""
    return [str(row["n"]), ms("p05_s"), ms("median_s"), interval, ms("mean_s"), ms("p95_s")]


def _once(run: Run) -> Grid:
    """What happens once a case, and memory."""
    measured = [m for m in run.measurements if m.ok]
    heads, alignment = _case_columns(run, [m for m in run.measurements if m.axes])
    columns: dict[str, Callable[[Measurement], str]] = {
        "process start": lambda m: quantity.seconds(m.figure("start_s")),
        "loader start": lambda m: quantity.seconds(m.figure("loader_start_s")),
        "first step": lambda m: quantity.seconds(m.figure("first_step_s")),
        "compile cache": lambda m: escaped(str(m.fact("compile", "cache") or "")),
        "graphs": lambda m: _count(m.figure("compile", "graphs")),
        "breaks": lambda m: _count(m.figure("compile", "graph_breaks")),
        "warm-up": _warmup,
        "host peak, MiB": lambda m: quantity.mebibytes(m.figure("memory", "host_peak_bytes")),
        "device peak, MiB": lambda m: quantity.mebibytes(
            m.figure("memory", "device_peak_allocated_bytes")
        ),
        "laps / bare": lambda m: _ratio(m.lapped_per_bare),
        "whole case": lambda m: quantity.seconds(m.figure("elapsed_s")),
    }
    rows = [[column(m) for column in columns.values()] for m in measured]
    used = [i for i, _ in enumerate(columns) if any(row[i] for row in rows)]
    names = list(columns)
    return grid(
        [*heads, *(names[i] for i in used)],
        alignment + "r" * len(used),
        [
            [*_case_cells(run, m), *(row[i] for i in used)]
            for m, row in zip(measured, rows, strict=True)
        ],
        ONCE_CHARACTERS,
    )


def _count(number: float) -> str:
    return f"{number:.0f}" if math.isfinite(number) else quantity.NOTHING


def _ratio(number: float) -> str:
    return f"{number:.3f}" if math.isfinite(number) else quantity.NOTHING


def _warmup(measurement: Measurement) -> str:
    steps = _count(measurement.figure("warmup", "steps"))
    return f"{steps} steps, {quantity.seconds(measurement.figure('warmup', 'elapsed_s'))}"


def _overhead(measured: Sequence[Measurement]) -> str:
    """The range of lapped/bare ratios, in words."""
    ratios = [m.lapped_per_bare for m in measured if math.isfinite(m.lapped_per_bare)]
    if not ratios:
        return ""
    low, high = _ratio(min(ratios)), _ratio(max(ratios))
    return low if low == high else f"{low} to {high}"


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    """What else is known of the run, by name."""
    facts = run.facts
    yield "run", f"{facts.get('id')}, started {facts.get('started')}"
    yield "stepbench", str(facts.get("stepbench") or "")
    machine = facts.get("machine") or {}
    yield "machine", f"{words.machine(run)}, {machine.get('system') or 'system not recorded'}"
    yield "packages", _spoken(facts.get("packages") or {})
    yield "sampling", _spoken(facts.get("sampling") or {})
    measured = [m for m in run.measurements if m.ok]
    for name, path in {"model": "model", "settings": "settings", "clock": "clock"}.items():
        found = dict.fromkeys(_spoken(m.fact(path) or {}) for m in measured)
        yield name, "; or ".join(filter(None, list(found)[: words.MOST_NAMED]))


def _spoken(facts: Mapping[str, Any]) -> str:
    """Facts in a row: `threads 2, seed 0`."""
    return ", ".join(
        f"{name.removesuffix('_s').replace('_', ' ')} {_plain(value)}{' s' * name.endswith('_s')}"
        for name, value in facts.items()
        if value is not None
    )


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
