"""The section on operators: those with the longest self time in each profiled case."""

from stepbench_reports.read.operators import frame, without_shapes
from stepbench_reports.read.run import Run
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import Section
from stepbench_reports.wording import quantity
from stepbench_reports.wording.markup import code, escaped, grid

TABLE_BYTES = 6_000
MAX_OPERATORS = 8
"""The maximum number of operators that are shown for each case."""
OPERATORS_CSV = "`operators.csv`"


def section(run: Run) -> Section | None:
    """A row for each of the longest operators, by case, phase and operator."""
    operators = without_shapes(frame(run))
    if operators.empty:
        return None
    on_device = bool((operators["device_self_s"] > 0).any())
    heads, alignment = tables.case_columns(run, run.profiled)
    rows = []
    for measurement in run.profiled:
        longest = operators[operators["case"] == measurement.id].head(MAX_OPERATORS)
        for row in longest.to_dict("records"):
            device = [quantity.micro(row["device_self_s"])] if on_device else []
            rows.append(
                [
                    *tables.case_cells(run, measurement),
                    str(row["phase"]),
                    escaped(str(row["operator"]), 60),
                    f"{row['calls']:g}",
                    quantity.micro(row["host_self_s"]),
                    *device,
                    quantity.mebibytes_fine(row["allocated_bytes"]),
                    quantity.percent(row["share"]),
                ]
            )
    device_head = ["device, µs"] if on_device else []
    columns = ["phase", "operator", "calls", "host, µs", *device_head, "allocated, MiB", "share"]
    table = grid([*heads, *columns], f"{alignment}ll{'r' * (len(columns) - 2)}", rows, TABLE_BYTES)
    device_note = ", including the device work that it started" if on_device else ""
    lead = (
        f"The {MAX_OPERATORS} longest operators of each case by self time in a profiled step: the "
        f"time of an operator without the operators that it called{device_note}. "
        f"Profiling slows every operator, short ones most: read the times as proportions. "
        f"{escaped('(outside operators)')} is Python code and waiting. "
        f"{code('stepbench compare RUN --operators A B')} shows which operators account for the "
        f"difference between two cases."
    )
    return Section("Operators", lead, table, OPERATORS_CSV)
