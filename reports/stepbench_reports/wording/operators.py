"""The operators that take most of a profiled step, in words."""

from stepbench_reports.read.operators import frame, without_shapes
from stepbench_reports.read.run import Run
from stepbench_reports.wording import quantity, summary

MAX_OPERATORS = 3
"""The number of operators that are named."""


def longest(run: Run) -> str | None:
    """Names the longest operators of the first profiled case; `None` if no case was profiled."""
    if not run.profiled:
        return None
    case = run.profiled[0]
    operators = without_shapes(frame(run))
    rows = operators[operators["case"] == case.id].head(MAX_OPERATORS).to_dict("records")
    named = ", ".join(
        f"{row['operator']} in {row['phase']} ({quantity.percent(row['share'])})" for row in rows
    )
    of_case = f" of {summary.name(run, case)}" if len(run.measurements) > 1 else ""
    return f"Longest operators{of_case} in the trace: {named}."
