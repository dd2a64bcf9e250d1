"""The section on compilation: cold and warm times, graph breaks and recompilations."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from stepbench_reports.analysis import comparison
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.compilation import Compilation, Occurrence
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import CASE_FILES, Section
from stepbench_reports.wording import quantity, summary
from stepbench_reports.wording.markup import code, escaped, within

TABLE_BYTES = 2_000
OCCURRENCES_BYTES = 2_500
_OTHER_SENTENCES = re.compile(r"\n|(?<=[.!?])\s|\s(?=Explanation:|Hint:|Developer debug context:)")

_OCCURRENCES: Mapping[str, Callable[[Compilation], Sequence[Occurrence]]] = {
    "graph break": lambda compilation: compilation.breaks,
    "recompiled": lambda compilation: compilation.recompiled,
}


def section(run: Run) -> Section | None:
    """A row for each compiled case; below the table, all graph breaks and recompilations."""
    compiled = [m for m in run.measured if m.compilation is not None]
    if not compiled:
        return None
    columns: dict[str, tables.Column] = {
        "cold": lambda m: quantity.seconds(m.cold_compile_s),
        "warm": lambda m: quantity.seconds(m.compile_value(lambda c: c.compile_s)),
        "first step, cold": lambda m: quantity.seconds(m.cold_first_step_s),
        "first step, warm": lambda m: quantity.seconds(m.value(lambda f: f.first_step_s)),
        "repaid after": lambda m: _repaid(run, m),
        "graphs": lambda m: tables.count(m.compile_value(lambda c: c.graphs)),
        "breaks": lambda m: tables.count(m.compile_value(lambda c: c.graph_breaks)),
        "recompiles": lambda m: tables.count(m.compile_value(lambda c: c.recompiles)),
    }
    lines, left_out = within(OCCURRENCES_BYTES, list(_occurrences(run, compiled)))
    lead = (
        "Cold is from an empty compile cache, in a process of its own, which cases share that "
        "compile the same; warm is from the cache that it left. What torch says that compiling "
        "took, and the whole first step. The figures above hold none of it. Repaid: after how many "
        "steps a cold compilation has saved what it took; empty where it is not sure to save."
    )
    table = tables.filled(run, compiled, columns, TABLE_BYTES)
    return Section("Compilation", lead, table, CASE_FILES, tuple(lines), left_out)


def _repaid(run: Run, measurement: Measurement) -> str:
    """The steps until compilation has paid off; empty if that is uncertain or parity failed."""
    speedup = run.speedups.get(measurement.id)
    if speedup is None or measurement.parity.lost:
        return quantity.NOTHING
    step = measurement.bare_step if speedup.of == "mean" else measurement.step
    steps = comparison.repaid_steps(measurement.cold_compile_s, step.value, speedup.ratio)
    if math.isinf(steps.value):
        return "never"
    half_width = (steps.high - steps.low) / 2
    told = quantity.number(steps.value, half_width, quantity.DIGITS_UNKNOWN)
    return f"{told} steps" if told else quantity.NOTHING


def _occurrences(run: Run, compiled: Sequence[Measurement]) -> Iterator[str]:
    """A line for each distinct graph break and recompilation, naming all cases that have it."""
    found: dict[tuple[str, str, str], list[tuple[Measurement, int]]] = {}
    for what, of in _OCCURRENCES.items():
        for m in compiled:
            for each in () if m.compilation is None else of(m.compilation):
                key = (what, first_sentence(each.reason), each.where or "")
                found.setdefault(key, []).append((m, each.count))
    for (what, reason, where), cases in found.items():
        most = max((times for _, times in cases if times > 1), default=0)
        often = f", {most} times" if most else ""
        place = f" ({code(where)})" if where else ""
        who = escaped(summary.names(run, [m for m, _ in cases]))
        yield f"- {what}{often} in {who}: {escaped(reason)}{place}"


def first_sentence(text: str) -> str:
    """The first sentence of a message by torch, without the (often long) explanations and hints."""
    return _OTHER_SENTENCES.split(text.strip(), maxsplit=1)[0].strip()
