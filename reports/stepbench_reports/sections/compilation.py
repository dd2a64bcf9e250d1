"""The section on compilation: cold and warm times, graph breaks and recompilations."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.compilation import Compilation, Occurrence
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import CASE_FILES, Section
from stepbench_reports.wording import break_even, quantity, summary
from stepbench_reports.wording.markup import code, escaped, within

TABLE_BYTES = 2_000
OCCURRENCES_BYTES = 2_500
_SENTENCE_END = re.compile(r"\n|(?<=[.!?])\s|\s(?=Explanation:|Hint:|Developer debug context:)")

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
        "pays after": lambda m: _pays_after(run, m),
        "graphs": lambda m: tables.count(m.compile_value(lambda c: c.graphs)),
        "breaks": lambda m: tables.count(m.compile_value(lambda c: c.graph_breaks)),
        "recompiles": lambda m: tables.count(m.compile_value(lambda c: c.recompiles)),
        "CUDA graph skips": lambda m: tables.count(m.compile_value(lambda c: c.cuda_graph_skips)),
    }
    lines, left_out = within(OCCURRENCES_BYTES, list(_occurrences(run, compiled)))
    lead = (
        "Cold: with an empty compile cache, in a separate process, once for all cases that compile "
        "to the same code. Warm: with the cache that this process filled. The table shows the "
        "compile times that torch reports and the first step; the figures above include neither. "
        "Pays after: the number of steps after which a cold compilation has saved the time "
        "that it took; empty if a faster step is not certain."
    )
    table = tables.case_table(run, compiled, columns, TABLE_BYTES)
    return Section("Compilation", lead, table, CASE_FILES, tuple(lines), left_out)


def _pays_after(run: Run, measurement: Measurement) -> str:
    """The steps until compilation has paid off; empty if that is uncertain or parity failed."""
    if measurement.parity.failed:
        return quantity.NOTHING
    return break_even.text(break_even.steps(run, measurement))


def _occurrences(run: Run, compiled: Sequence[Measurement]) -> Iterator[str]:
    """A line for each distinct graph break and recompilation, naming all cases that have it."""
    by_reason: dict[tuple[str, str, str], list[tuple[Measurement, int]]] = {}
    for event, occurrences_of in _OCCURRENCES.items():
        for m in compiled:
            for occurrence in () if m.compilation is None else occurrences_of(m.compilation):
                key = (event, first_sentence(occurrence.reason), occurrence.where or "")
                by_reason.setdefault(key, []).append((m, occurrence.count))
    for (event, reason, where), cases in by_reason.items():
        max_times = max((times for _, times in cases if times > 1), default=0)
        times_text = f", {max_times} times" if max_times else ""
        location = f" ({code(where)})" if where else ""
        names = escaped(summary.names(run, [m for m, _ in cases]))
        yield f"- {event}{times_text} in {names}: {escaped(reason)}{location}"


def first_sentence(text: str) -> str:
    """The first sentence of a message by torch, without the (often long) explanations and hints."""
    return _SENTENCE_END.split(text.strip(), maxsplit=1)[0].strip()
