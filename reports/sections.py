"""The folded parts of `report.md`: each only where the run has figures for it."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import bound_words, comparison, parity, profile_sections, quantity, tables, words
from .frame import Run
from .markup import Grid, code, escaped, grid, within
from .measurement import Measurement, number
from .section import CASE_FILES, Section
from .stats import median_interval, point

BOUNDS_BYTES = 6_000
LOADER_BYTES = 2_500
COMPILATION_BYTES = 2_000
OCCURRENCES_BYTES = 2_500
WORK_BYTES = 2_500
CLOCKS_BYTES = 1_500
PARITY_BYTES = 2_500
MICRO_BATCHES_BYTES = 1_500
MOST_POSITIONS = 8
"""How many micro-batches of a step are shown one by one; those after them are taken together."""
PHASES_CSV = "`phases.csv`"

_OTHER_SENTENCES = re.compile(r"\n|(?<=[.!?])\s|\s(?=Explanation:|Hint:|Developer debug context:)")


def sections(run: Run) -> list[Section]:
    """Every folded part that the run has figures for, in order."""
    measured = [m for m in run.measurements if m.ok]
    if not measured:
        found = _parity(run, measured)  # that may be all that was asked for
        return [] if found is None else [found]
    parts = [
        _bounds, _parity, _quantiles, _loader, _compilation, _work, _clocks, _micro_batches, _once,
    ]  # fmt: skip
    told = [section for part in parts if (section := part(run, measured)) is not None]
    return told + profile_sections.sections(run)


def _bounds(run: Run, measured: Sequence[Measurement]) -> Section | None:
    told = [
        f"- **{escaped(words.name(run, m))}**: {escaped(sentences)}"
        for m in measured
        if (sentences := bound_words.sentences(m, run.share_of_ceiling(m)))
    ]
    if not told:
        return None
    lines, left_out = within(BOUNDS_BYTES, told)
    lead = (
        "The mean step is split by its phases' shares; forward and backward are split into launch "
        "overhead (what they take with next to no data) and computing. The longest part is the "
        "bound, with the next where it is close. What a step could be at best is what remains "
        "without that part, and without data what it took on one batch again and again: a limit, "
        "not a promise."
    )
    if any(m.clock == "device" for m in measured):
        lead += (
            " By the device's clock `dataload` is starvation: the device had nothing to do. By the "
            "host's it is how long Python waited, which may be behind the device's own work."
        )
    return Section("What bounds each case", lead, None, CASE_FILES, tuple(lines), left_out)


def _parity(run: Run, _: Sequence[Measurement]) -> Section | None:
    """What was compared, and how far off it is: a row for all the cases that compute the same."""
    compared = [m for m in run.measurements if m.parity.known and m.axes]
    if not compared:
        return None
    columns: dict[str, tables.Column] = {
        "parity": lambda m: parity.cell(m.parity),
        **{kind: _error_of(kind) for kind in parity.KINDS},
        "starts": lambda m: tables.count(number(m.parity.judgement.get("starts"))),
        "trainings": lambda m: escaped(m.parity.trained or ""),
        "accuracy": lambda m: _accuracy(m.parity.accuracy),
        "twin's": lambda m: _accuracy(m.parity.twin_accuracy),
        "difference": lambda m: escaped(parity.points(m.parity)) if m.parity.seeds else "",
    }
    told = [
        f"- {code(m.id)}: {escaped(said)}"
        for m in compared
        for said in (parity.sentence(m.parity), parity.shortened(m.parity))
        if said
    ]
    lines, left_out = within(PARITY_BYTES, list(dict.fromkeys(told)))
    rule: Mapping[str, Any] = next(
        (r for m in compared if (r := m.parity.judgement.get("rule"))), {}
    )
    multiple = f"{number(rule.get('multiple')):g}" if rule else "some"
    taken: Mapping[str, Any] = next(
        (r for m in compared if (r := m.parity.judgement.get("reference"))), {}
    )
    lead = (
        f"Outputs, losses, gradients, parameters and buffers of {taken.get('asked_steps', 'some')} "
        f"training steps beside those of eager execution in double precision on the CPU, from the "
        f"same weights and batches: relative errors, of each kind that of the tensor that comes "
        f"closest to what is allowed. That is {multiple} times the error that eager has itself in "
        f"the case's precision, and a floor. Parameters are compared by their change."
    )
    return Section("Parity", lead, _parity_table(run, compared, columns), "`parity/`",
                   tuple(lines), left_out)  # fmt: skip


def _parity_table(
    run: Run, compared: Sequence[Measurement], columns: Mapping[str, tables.Column]
) -> Grid:
    """A row for each case that was judged, named as it is among all that compute the same."""
    first: dict[str, Measurement] = {}
    for m in compared:
        first.setdefault(m.parity.judged_as or m.id, m)
    return tables.filled(run, list(first.values()), columns, PARITY_BYTES)


def _error_of(kind: str) -> tables.Column:
    return lambda measurement: parity.relative(measurement.parity.error_of(kind))


def _accuracy(share: float) -> str:
    return f"{share * 100:.2f} %" if share == share else quantity.NOTHING  # noqa: PLR0124  # NaN


def _quantiles(run: Run, _: Sequence[Measurement]) -> Section:
    return Section("Every phase: quantiles in ms", "", tables.quantiles(run), PHASES_CSV)


def _loader(run: Run, measured: Sequence[Measurement]) -> Section | None:
    known = [m for m in measured if isinstance(m.fact("loader"), Mapping)]
    if not any(
        m.figure("loader", name) >= 0
        for m in known
        for name in ("samples_per_s", "start_s", "restart_s")
    ):
        return None
    columns: dict[str, tables.Column] = {
        "samples/s": lambda m: quantity.rate(point(m.figure("loader", "samples_per_s"))),
        "over batches": lambda m: tables.count(m.figure("loader", "batches")),
        "start": lambda m: quantity.seconds(m.figure("loader", "start_s")),
        "restart": lambda m: quantity.seconds(m.figure("loader", "restart_s")),
        "kept ready": lambda m: tables.count(m.figure("loader", "ready")),
        "noise": tables.noise(lambda m: m.loader_disturbed),
        "waited a step, ms": lambda m: _mean_ms(m, "host"),
        "starved a step, ms": lambda m: _mean_ms(m, "device"),
    }
    starved = " (and, starved, for how long the device had nothing to do)"
    lead = (
        "With nothing else running: its own rate; from making its iterator to the first batch; the "
        "same at an epoch's end, the old workers' end included; how many batches workers keep "
        "ready. Waited is the mean `dataload` seen in training"
        f"{starved if any(m.clock == 'device' for m in known) else ''}."
    )
    return Section("The loader by itself", lead, tables.filled(run, known, columns, LOADER_BYTES))


def _mean_ms(measurement: Measurement, clock: str) -> str:
    return quantity.milliseconds(point(measurement.mean_lap("dataload", clock)))


def _compilation(run: Run, measured: Sequence[Measurement]) -> Section | None:
    compiled = [m for m in measured if isinstance(m.fact("compile"), Mapping)]
    if not compiled:
        return None
    columns: dict[str, tables.Column] = {
        "cold": lambda m: quantity.seconds(m.figure("compile", "cold", "compile_s")),
        "warm": lambda m: quantity.seconds(m.figure("compile", "compile_s")),
        "first step, cold": lambda m: quantity.seconds(m.figure("compile", "cold", "first_step_s")),
        "first step, warm": lambda m: quantity.seconds(m.figure("first_step_s")),
        "repaid after": lambda m: _repaid(run, m),
        "graphs": lambda m: tables.count(m.figure("compile", "graphs")),
        "breaks": lambda m: tables.count(m.figure("compile", "graph_breaks")),
        "recompiles": lambda m: tables.count(m.figure("compile", "recompiles")),
    }
    lines, left_out = within(OCCURRENCES_BYTES, list(_occurrences(run, compiled)))
    lead = (
        "Cold is from an empty compile cache, in a process of its own, which cases share that "
        "compile the same; warm is from the cache that it left. What torch says that compiling "
        "took, and the whole first step. The figures above hold none of it. Repaid: after how many "
        "steps a cold compilation has saved what it took; empty where it is not sure to save."
    )
    table = tables.filled(run, compiled, columns, COMPILATION_BYTES)
    return Section("Compilation", lead, table, CASE_FILES, tuple(lines), left_out)


def _repaid(run: Run, measurement: Measurement) -> str:
    """In words; nothing where a speed-up is not sure, or does not count."""
    speedup = run.speedups.get(measurement.id)
    if speedup is None or measurement.parity.lost:
        return quantity.NOTHING
    step = measurement.bare_step if speedup.of == "mean" else measurement.step
    cold_s = measurement.figure("compile", "cold", "compile_s")
    steps = comparison.repaid_steps(cold_s, step.value, speedup.ratio)
    if math.isinf(steps.value):
        return "never"
    half_width = (steps.high - steps.low) / 2
    told = quantity.number(steps.value, half_width, quantity.DIGITS_UNKNOWN)
    return f"{told} steps" if told else quantity.NOTHING


def _occurrences(run: Run, compiled: Sequence[Measurement]) -> Iterator[str]:
    """Each graph break and recompilation, those of several cases together."""
    found: dict[tuple[str, str, str], list[tuple[Measurement, float]]] = {}
    for field, what in {"breaks": "graph break", "recompiled": "recompiled"}.items():
        for m in compiled:
            for each in m.entries("compile", field):
                reason, where = (
                    first_sentence(str(each.get("reason"))),
                    str(each.get("where") or ""),
                )
                times = number(each.get("count"))
                found.setdefault((what, reason, where), []).append((m, times))
    for (what, reason, where), cases in found.items():
        most = max((times for _, times in cases if times > 1), default=0)
        often = f", {most:.0f} times" if most else ""
        place = f" ({code(where)})" if where else ""
        who = escaped(_named(run, [m for m, _ in cases]))
        yield f"- {what}{often} in {who}: {escaped(reason)}{place}"


def first_sentence(text: str) -> str:
    """What torch says first: its explanations and hints can be long."""
    return _OTHER_SENTENCES.split(text.strip(), maxsplit=1)[0].strip()


def _named(run: Run, found: Iterable[Measurement]) -> str:
    names = list(dict.fromkeys(words.name(run, m) for m in found))
    return words.cases(len(names)) if len(names) > words.MOST_NAMED else ", ".join(names)


def _work(run: Run, measured: Sequence[Measurement]) -> Section | None:
    columns: dict[str, tables.Column] = {
        "GFLOP a step": lambda m: quantity.giga(m.flops),
        "GFLOP/s": lambda m: quantity.giga(m.flops_per_s),
        "of the ceiling": lambda m: quantity.percent(run.share_of_ceiling(m)),
        "FLOP/B": lambda m: quantity.number(m.intensity),
        "ridge, FLOP/B": lambda m: quantity.number(
            run.ridge(m.axes.get("device"), m.axes.get("precision"))
        ),
        "operators": lambda m: tables.count(m.figure("work", "operators") * m.micro_batches),
        "saved, MiB": lambda m: quantity.number(m.figure("memory", "saved_bytes") / 2**20),
    }
    counted = [
        m
        for m in measured
        if m.figure("work", "flops") >= 0 or m.figure("memory", "saved_bytes") >= 0
    ]
    reasons = list(_uncounted(run, measured))
    if not counted and not reasons:
        return None
    lead = (
        "Floating-point operations of forward and backward (2 for a multiply-add), and the bytes "
        "that their operators read and write, counted on the eager model in a pass of its own; per "
        "second of the mean step, with the optimizer and every wait in it. Below the ridge, memory "
        "is the ceiling and not arithmetic. Saved is what autograd keeps of one forward pass. "
        f"{_ceilings(run, measured)}"
    )
    lines, left_out = within(WORK_BYTES // 2, reasons)
    table = tables.filled(run, counted, columns, WORK_BYTES) if counted else None
    return Section("Work and the roofline", lead, table, CASE_FILES, tuple(lines), left_out)


def _uncounted(run: Run, measured: Sequence[Measurement]) -> Iterator[str]:
    """Why work could not be counted, where it could not."""
    by_reason: dict[str, list[Measurement]] = {}
    for m in measured:
        reason = m.fact("work", "reason")
        if isinstance(reason, str) and reason:
            by_reason.setdefault(reason, []).append(m)
    for reason, found in by_reason.items():
        yield f"- not counted in {escaped(_named(run, found))}: {escaped(reason)}"


def _ceilings(run: Run, measured: Sequence[Measurement]) -> str:
    """What each device reaches at best, in words."""
    devices = dict.fromkeys(str(m.axes.get("device")) for m in measured)
    told = [text for device in devices if (text := _ceiling(run, device))]
    return (
        " ".join(told) or "The machine's ceilings were not measured, so there is no share of them."
    )


def _ceiling(run: Run, device: str) -> str:
    facts = run.ceilings(device)
    products = facts.get("matmul_flops_per_s")
    parts = [
        f"{quantity.giga(number(flops))} GFLOP/s in matrix products of {precision}"
        for precision, flops in (products.items() if isinstance(products, Mapping) else ())
        if number(flops) > 0
    ]
    copied = quantity.giga(number(facts.get("copy_bytes_per_s")))
    if copied:
        parts.append(f"{copied} GB/s of memory read and written")
    decoded = number(facts.get("decoded_images_per_s"))
    if decoded > 0:
        parts.append(f"{quantity.rate(point(decoded))} JPEG files/s decoded by one core")
    threads = number(facts.get("threads"))
    how = f" with {threads:.0f} threads" if threads > 0 else ""
    return escaped(f"{device} reaches at best{how}: {', '.join(parts)}.") if parts else ""


def _clocks(run: Run, measured: Sequence[Measurement]) -> Section | None:
    both = [m for m in measured if {"host", "device"} <= m.laps.keys()]
    if not both:
        return None
    columns = {phase: _both_clocks(phase) for phase in (*run.phase_names, "step")}
    lead = (
        "Medians in ms, host / device. The host's clock tells how long Python spent in a phase; "
        "the device's, how long its stream did. Python runs ahead and waits somewhere: a long lap "
        "of the host alone is that wait."
    )
    table = tables.filled(run, both, columns, CLOCKS_BYTES)
    return Section("Host and device", lead, table, PHASES_CSV)


def _both_clocks(phase: str) -> Callable[[Measurement], str]:
    def column(measurement: Measurement) -> str:
        found = [measurement.laps[clock].get(phase) for clock in ("host", "device")]
        if all(laps is None for laps in found):
            return quantity.NOTHING
        return " / ".join(
            quantity.DASH if laps is None else quantity.milliseconds(median_interval(laps))
            for laps in found
        )

    return column


def _micro_batches(run: Run, measured: Sequence[Measurement]) -> Section | None:
    several = [m for m in measured if m.micro_laps]
    if not several:
        return None
    most = max(laps.shape[1] for m in several for laps in m.micro_laps.values())
    shown = min(most, MOST_POSITIONS)
    heads, alignment = tables.case_columns(run, [m for m in run.measurements if m.axes])
    later = [f"{shown + 1} and later"] if most > shown else []
    rows = [
        [*tables.case_cells(run, m), phase, *_positions(laps, shown, later=bool(later))]
        for m in several
        for phase, laps in m.micro_laps.items()
    ]
    positions = [*(str(position) for position in range(1, shown + 1)), *later]
    lead = (
        "Medians in ms by the micro-batch's place in its step. The first backward of a step "
        "creates gradients, later ones add to them."
    )
    table = grid(
        [*heads, "phase", *positions],
        f"{alignment}l{'r' * len(positions)}",
        rows,
        MICRO_BATCHES_BYTES,
    )
    return Section("Micro-batches", lead, table)


def _positions(laps: Any, shown: int, *, later: bool) -> list[str]:  # noqa: ANN401  # an array
    """The median of each position, and of all later ones together."""
    parts = [laps[:, i : i + 1] for i in range(shown)] + ([laps[:, shown:]] if later else [])
    return [
        quantity.milliseconds(median_interval(np.ravel(part))) if part.size else quantity.NOTHING
        for part in parts
    ]


def _once(run: Run, _: Sequence[Measurement]) -> Section:
    lead = (
        "The first step includes kernel selection, the growth of memory pools and, in compiled "
        "cases, what compiling takes from a warm cache. The figures above hold none of it."
    )
    return Section(
        "What happens once: start, first step, warm-up; peak memory", lead, tables.once(run)
    )
