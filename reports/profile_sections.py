"""The folded parts of `report.md` that are about profiles: operators, traces, loader workers."""

from collections.abc import Mapping, Sequence
from typing import Any

from . import operators, quantity, tables, words
from .frame import Run
from .markup import code, escaped, grid, within
from .measurement import Measurement, number
from .section import Section

OPERATORS_BYTES = 6_000
TRACES_BYTES = 2_500
WORKERS_BYTES = 2_500
TOP = 8
"""How many operators of each case are shown."""
OPERATORS_CSV = "`operators.csv`"
PROFILES = "`profiles/` in the run directory"


def sections(run: Run) -> list[Section]:
    """Those that the run has figures for."""
    profiled = [m for m in run.measurements if m.profile.status is not None and m.axes]
    if not profiled:
        return []
    parts = [_operators(run, profiled), _traces(run, profiled), _workers(run, profiled)]
    return [part for part in parts if part is not None]


def _operators(run: Run, profiled: Sequence[Measurement]) -> Section | None:
    found = operators.without_shapes(operators.frame(run))
    if found.empty:
        return None
    on_device = bool((found["device_self_s"] > 0).any())
    heads, alignment = tables.case_columns(run, profiled)
    rows = []
    for measurement in profiled:
        mine = found[found["case"] == measurement.id].head(TOP)
        for row in mine.to_dict("records"):
            device = [operators.micro(row["device_self_s"])] if on_device else []
            rows.append(
                [
                    *tables.case_cells(run, measurement),
                    str(row["phase"]),
                    escaped(str(row["operator"]), 60),
                    f"{row['calls']:g}",
                    operators.micro(row["host_self_s"]),
                    *device,
                    quantity.mebibytes_fine(row["allocated_bytes"]),
                    quantity.percent(row["share"]),
                ]
            )
    device_head = ["device, µs"] if on_device else []
    columns = ["phase", "operator", "calls", "host, µs", *device_head, "allocated, MiB", "share"]
    table = grid(
        [*heads, *columns], f"{alignment}ll{'r' * (len(columns) - 2)}", rows, OPERATORS_BYTES
    )
    lead = (
        f"The {TOP} longest of each case, by self time in a profiled step: without the operators "
        f"that each called, "
        f"{'work on a device with the one that asked for it' if on_device else 'on the host'}. "
        f"Profiling slows every operator, small ones most, so read these as proportions. "
        f"{escaped('(outside operators)')} is Python, and waiting. "
        f"{code('python -m reports RUN --operators A B')} tells which operators account for the "
        f"difference between two cases."
    )
    return Section("Operators", lead, table, OPERATORS_CSV)


def _traces(run: Run, profiled: Sequence[Measurement]) -> Section:
    columns: dict[str, tables.Column] = {
        "trace, KiB": lambda m: _kibibytes(_figure(m, "trace", "bytes")),
        "events": lambda m: tables.count(_figure(m, "trace", "events")),
        "TensorBoard, KiB": lambda m: _kibibytes(_figure(m, "board", "bytes")),
        "profiled step, ms": lambda m: quantity.number(m.profile.step_s * 1e3, most=3),
        "allocated at once, MiB": _memory_peak,
        "device idle": lambda m: quantity.percent(m.profile.device_idle),
        "memory snapshot, KiB": lambda m: _kibibytes(
            number(m.profile.content.get("snapshot_bytes"))
        ),
    }
    told = [
        f"- {code(m.id)}: {escaped(m.profile.reason or str(m.profile.status))}"
        for m in profiled
        if m.profile.status != "ok"
    ] + [
        f"- {escaped(words.name(run, m))}: no {escaped(tab.replace('_', ' '))}: {escaped(reason)}"
        for m in profiled
        for tab, reason in m.profile.left_out.items()
    ]
    lines, left_out = within(TRACES_BYTES, told)
    lead = (
        f"{code('nox -s tensorboard')} (or {code('tensorboard --logdir RUN/tb')}) opens all of "
        f"them, with curves, settings against results, graph, embeddings and more. The traces as "
        f"the profiler wrote them, for ui.perfetto.dev, are in {code('traces/')} of the run "
        f"directory; those in {code('tb/')} are rewritten so that TensorBoard's profiler reads "
        f"them right."
    )
    table = tables.filled(run, profiled, columns, TRACES_BYTES)
    return Section("Traces", lead, table, PROFILES, tuple(lines), left_out)


def _workers(run: Run, profiled: Sequence[Measurement]) -> Section | None:
    watched = [m for m in profiled if m.profile.workers]
    if not watched:
        return None
    parts = list(
        dict.fromkeys(
            name for m in watched for worker in m.profile.workers for name in worker["seconds"]
        )
    )
    heads, alignment = tables.case_columns(run, [m for m in run.measurements if m.axes])
    rows = [
        [
            *tables.case_cells(run, m),
            str(worker["worker"]),
            f"{worker['samples']:,}",
            operators.micro(worker["elapsed_s"] / worker["samples"]),
            *(_part(worker, name) for name in parts),
        ]
        for m in watched
        for worker in m.profile.workers
    ]
    columns = ["worker", "samples", "µs a sample", *(escaped(name) for name in parts)]
    table = grid([*heads, *columns], f"{alignment}{'r' * len(columns)}", rows, WORKERS_BYTES)
    lead = (
        "Nothing else was running. Read is what the data set does apart from its transforms, "
        "collate makes a batch of the items, and hand over is the rest: passing the batch to the "
        "training process, and waiting for it to ask. In brackets the share of the worker's time."
    )
    return Section("Loader workers: where a sample's time goes, in µs", lead, table, PROFILES)


def _part(worker: Mapping[str, Any], name: str) -> str:
    took_s = number(worker["seconds"].get(name))
    if not took_s >= 0:
        return quantity.NOTHING
    share = quantity.percent(took_s / worker["elapsed_s"])
    return f"{operators.micro(took_s / worker['samples']) or 0} ({share})"


def _figure(measurement: Measurement, part: str, name: str) -> float:
    found = measurement.profile.content.get(part)
    return number(found.get(name)) if isinstance(found, Mapping) else number(None)


def _kibibytes(size_bytes: float) -> str:
    return tables.count(size_bytes / 2**10)


def _memory_peak(measurement: Measurement) -> str:
    peaks = measurement.profile.memory_peak_bytes
    several = len(peaks) > 1
    return ", ".join(
        f"{device} {quantity.mebibytes_fine(peak)}" if several else quantity.mebibytes_fine(peak)
        for device, peak in peaks.items()
    )
