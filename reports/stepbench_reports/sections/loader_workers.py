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
    cases = [m for m in run.profiled if m.profile.workers]
    if not cases:
        return None
    parts = list(
        dict.fromkeys(
            name for m in cases for worker in m.profile.workers for name in worker.seconds
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
        for m in cases
        for worker in m.profile.workers
    ]
    columns = ["worker", "samples", "µs/sample", *(escaped(name) for name in parts)]
    table = grid([*heads, *columns], f"{alignment}{'r' * len(columns)}", rows, TABLE_BYTES)
    lead = (
        "Measured with nothing else running. Read: the data set without its transforms. Collate: "
        "making a batch of the samples. Hand over: the rest, which is passing the batch to the "
        "training process and waiting for its next request. In brackets: the share of the worker's "
        "time."
    )
    return Section("Loader workers: time per sample, µs", lead, table, PROFILES)


def _part(worker: WorkerFacts, name: str) -> str:
    part_s = worker.seconds.get(name)
    if part_s is None or part_s < 0:
        return quantity.NOTHING
    share = quantity.percent(part_s / worker.elapsed_s)
    return f"{quantity.micro(part_s / worker.samples) or 0} ({share})"
