"""The section on what was recognised of a script."""

from stepbench_reports.read.run import Run
from stepbench_reports.sections.section import Section
from stepbench_reports.wording import summary
from stepbench_reports.wording.markup import escaped, grid

TABLE_BYTES = 6_000


def section(run: Run) -> Section | None:
    """A row for each part of each script's training; once for cases that are alike."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for measurement in run.measured:
        if measurement.script is None:
            continue
        for part in measurement.script.parts:
            row = (part.name, part.found or "not recognised", part.reason or "")
            rows.setdefault(row, []).append(summary.name(run, measurement))
    if not rows:
        return None
    cases = sum(m.script is not None for m in run.measured)
    lines = [
        [
            *(escaped(cell) for cell in row),
            escaped("all" if len(names) == cases else ", ".join(names)),
        ]
        for row, names in rows.items()
    ]
    lead = (
        "The script ran unedited, with hooks at the boundaries of its steps. A part that was not "
        "recognised has no figure; the reason says where its time is."
    )
    table = grid(["part", "recognised as", "reason if not", "cases"], "llll", lines, TABLE_BYTES)
    return Section("What was recognised of the script", lead, table)
