"""The section on loader workers: the time per sample, by part of the work."""

from stepbench_reports.read.run import Run
from stepbench_reports.schema.profile import WorkerFacts
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import PROFILES, Section
from stepbench_reports.wording import quantity
from stepbench_reports.wording.markup import escaped, grid

TABLE_BYTES = 2_500


def section(run: Run) -> Section | None:
    """A row for each loader worker of a profiled case."""
    watched = [m for m in run.profiled if m.profile.workers]
    if not watched:
        return None
    parts = list(
        dict.fromkeys(
            name for m in watched for worker in m.profile.workers for name in worker.seconds
        )
    )
    heads, alignment = tables.case_columns(run, [m for m in run.measurements if m.axes])
    rows = [
        [
            *tables.case_cells(run, m),
            str(worker.worker),
            f"{worker.samples:,}",
            quantity.micro(worker.elapsed_s / worker.samples),
            *(_part(worker, name) for name in parts),
        ]
        for m in watched
        for worker in m.profile.workers
    ]
    columns = ["worker", "samples", "µs a sample", *(escaped(name) for name in parts)]
    table = grid([*heads, *columns], f"{alignment}{'r' * len(columns)}", rows, TABLE_BYTES)
    lead = (
        "Nothing else was running. Read is what the data set does apart from its transforms, "
        "collate makes a batch of the items, and hand over is the rest: passing the batch to the "
        "training process, and waiting for it to ask. In brackets the share of the worker's time."
    )
    return Section("Loader workers: where a sample's time goes, in µs", lead, table, PROFILES)


def _part(worker: WorkerFacts, name: str) -> str:
    took_s = worker.seconds.get(name)
    if took_s is None or took_s < 0:
        return quantity.NOTHING
    share = quantity.percent(took_s / worker.elapsed_s)
    return f"{quantity.micro(took_s / worker.samples) or 0} ({share})"
