"""`report.md`: a run as Markdown for a pull request.

GitHub accepts 65,536 characters. Each part that grows with the number of cases has a maximum size;
it tells how much it leaves out and where to find that.
"""

import html
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from msgspec.structs import asdict

from stepbench_reports import sections
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.numbers import number
from stepbench_reports.read.run import Run
from stepbench_reports.schema.record import Record
from stepbench_reports.sections import tables
from stepbench_reports.wording import caveats, quantity, script, summary, time_spent
from stepbench_reports.wording.headline import headline
from stepbench_reports.wording.markup import code, escaped, fenced, within

TEMPLATES = Path(__file__).resolve().parent / "templates"
FAILURES_BYTES = 4_000
"""The maximum size of the list of failed cases, bytes."""
DETAIL_CHARACTERS = 3_000
"""The maximum total length of the ends of failed cases' output."""
HEADLINE_CHARACTERS = 1_600
"""The maximum length of the headline."""


def render(run: Run, variables: Mapping[str, Any] | None = None) -> str:
    """Renders a run as Markdown, with fewer than 65,000 characters.

    Args:
        run: The run.
        variables: The run's `content`; computed if `None`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  # `escaped` escapes untrusted text for Markdown
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("report.md.j2").render(
        content(run) if variables is None else variables
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def content(run: Run) -> dict[str, Any]:
    """Makes the variables of the templates: pieces of Markdown with untrusted text escaped."""
    measured = run.measured
    failed = summary.failed(run)
    reasons, omitted = within(FAILURES_BYTES, [_failure(m) for m in failed])
    return {
        "title": escaped(summary.title(run)),
        "headline": escaped(headline(run), HEADLINE_CHARACTERS),
        "recognised": [escaped(line) for line in script.recognised(run)],
        "machine": escaped(f"{summary.machine(run)}; {summary.packages(run)}"),
        "stopping": escaped(summary.stopping(run) or ""),
        "missing": summary.missing(run),
        "resume": code(summary.resume(run)),
        "cases": tables.cases(run) if any(m.axes for m in run.measurements) else None,
        "phases": tables.phases(run) if measured else None,
        "key": escaped(summary.key(run) or ""),
        "medians": summary.MEDIANS,
        "speedups": bool(run.speedups),
        "compared_with": "uncompiled case" if run.unchanged_script is None else "unchanged script",
        "bottlenecks": any(m.bottleneck is not None for m in measured),
        "notes": [escaped(note) for note in caveats.caveats(run)],
        "failed": reasons,
        "omitted": omitted,
        "outputs": _outputs(failed),
        "sections": sections.collect(run),
        "clocks": {m.clock for m in measured},
        "isolated": any(m.sync_phases for m in measured),
        "lap_cost": _lap_cost([m for m in measured if not m.sync_phases]),
        "facts": [(name, escaped(value)) for name, value in _facts(run) if value],
        "command": code(run.facts.command),
    }


def _failure(measurement: Measurement) -> str:
    reason = escaped(measurement.reason or "reason not recorded")
    return f"- {code(measurement.id)} **{escaped(summary.status(measurement.status))}**: {reason}"


def _outputs(failed: Sequence[Measurement]) -> list[tuple[str, str]]:
    """The id and the end of the output of each failed case, as many as fit."""
    outputs, remaining = [], DETAIL_CHARACTERS
    for measurement in failed:
        detail = (measurement.detail or "").strip()
        if not detail:
            continue
        tail = detail[-DETAIL_CHARACTERS // 2 :]
        remaining -= len(tail)
        if remaining < 0:
            break
        outputs.append((html.escape(measurement.id), fenced(tail)))
    return outputs


def _lap_cost(measured: Sequence[Measurement]) -> str:
    """The range of the ratios of steps with laps to steps without, in words; empty if unknown."""
    all_costs = (m.lap_cost for m in measured)
    costs = [c for c in all_costs if math.isfinite(c.value) and not quantity.is_vague(c)]
    if not costs:
        return ""
    ordered = sorted(costs, key=lambda cost: cost.value)
    low, high = quantity.times(ordered[0]), quantity.times(ordered[-1])
    return low if low == high else f"{low} to {high}"


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    """Yields the names and texts of further facts of the run."""
    facts = run.facts
    yield "run", f"{facts.id}, started {facts.started or 'at an unknown time'}"
    yield "stepbench", facts.stepbench
    system = None if facts.machine is None else facts.machine.system
    yield "machine", f"{summary.machine(run)}, {system or 'system not recorded'}"
    yield "machine's own speed", _speed(run)
    yield "time spent", time_spent.sentence(run)
    yield "packages", _in_words(facts.packages)
    # These options do not apply to pytest-benchmark, which has its own rules for sampling.
    yield "sampling", _in_words(asdict(facts.sampling)) if facts.stepbench else ""
    measured = [m.findings for m in run.measured if m.findings is not None]
    yield "model", _distinct(findings.model for findings in measured)
    yield "settings", _distinct(findings.settings for findings in measured)
    yield "clock", _distinct(findings.clock for findings in measured)


def _speed(run: Run) -> str:
    if math.isnan(run.speed_spread):
        return ""
    return (
        f"four of five turns within {quantity.plus_minus(run.speed_spread)}, by a fixed piece of "
        f"work beside each turn"
    )


def _distinct(records: Iterable[Record]) -> str:
    """The distinct facts of cases in words, at most `MAX_NAMED` of them."""
    texts = dict.fromkeys(_in_words(asdict(record)) for record in records)
    return "; or ".join(filter(None, list(texts)[: summary.MAX_NAMED]))


def _in_words(facts: Mapping[str, object]) -> str:
    """Formats facts on one line: `threads 2, seed 0`; durations get the unit `s`."""
    return ", ".join(
        f"{name.removesuffix('_s').replace('_', ' ')} {_plain(value)}{' s' * name.endswith('_s')}"
        for name, value in facts.items()
        if isinstance(value, (str, int)) or math.isfinite(number(value))
    )


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
