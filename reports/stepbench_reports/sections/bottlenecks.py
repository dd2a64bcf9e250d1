"""The section on bottlenecks: the longest part of each case's step, in sentences."""

from stepbench_reports.read.run import Run
from stepbench_reports.sections.section import CASE_FILES, Section
from stepbench_reports.wording import bottleneck, summary
from stepbench_reports.wording.markup import escaped, within

SENTENCES_BYTES = 6_000


def section(run: Run) -> Section | None:
    """Each case's bottleneck, in sentences."""
    told = [
        f"- **{escaped(summary.name(run, m))}**: {escaped(sentences)}"
        for m in run.measured
        if (sentences := bottleneck.sentences(m, run.share_of_ceiling(m)))
    ]
    if not told:
        return None
    lines, left_out = within(SENTENCES_BYTES, told)
    lead = (
        "The mean step is split by its phases' shares; forward and backward are split into launch "
        "overhead (what they take with next to no data) and computing. The longest part is the "
        "bound, with the next where it is close. What a step could be at best is what remains "
        "without that part, and without data what it took on one batch again and again: a limit, "
        "not a promise."
    )
    if any(m.clock == "device" for m in run.measured):
        lead += (
            " By the device's clock `dataload` is starvation: the device had nothing to do. By the "
            "host's it is how long Python waited, which may be behind the device's own work."
        )
    return Section("What bounds each case", lead, None, CASE_FILES, tuple(lines), left_out)
