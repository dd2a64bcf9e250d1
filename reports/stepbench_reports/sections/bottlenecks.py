"""The section on bottlenecks: the longest part of each case's step, in sentences."""

from stepbench_reports.read.run import Run
from stepbench_reports.sections.section import CASE_FILES, Section
from stepbench_reports.wording import bottleneck, summary
from stepbench_reports.wording.markup import escaped, within

LIST_BYTES = 6_000
SENTENCES_CHARACTERS = 1_000
"""The maximum length of a case's sentences."""


def section(run: Run) -> Section | None:
    """Each case's bottleneck, in sentences."""
    descriptions = [
        f"- **{escaped(summary.name(run, m))}**: {escaped(sentences, SENTENCES_CHARACTERS)}"
        for m in run.measured
        if (sentences := bottleneck.sentences(run, m))
    ]
    if not descriptions:
        return None
    lines, left_out = within(LIST_BYTES, descriptions)
    lead = (
        "The mean step is split by its phases' shares; forward and backward are split into their "
        "fixed cost (their time with next to no data) and compute. The longest part is the "
        "bottleneck; the second longest is named, too, if it is close. The step without that part "
        "is about what remains of it; without waiting for data or the loader's work, it is the "
        "measured step that reuses one batch. Speed-ups are those within generations, with 95 % "
        "intervals."
    )
    if any(m.clock == "device" for m in run.measured):
        lead += (
            " On the device's clock, `dataload` is starvation: the device has nothing to do. On "
            "the host's clock, it is the time that Python waits, possibly for earlier work of the "
            "device. Launches are hidden where the device takes over a tenth longer for a whole "
            "batch than for a tiny one: the host is then ahead of it, and the launches count as 0."
        )
    return Section("Bottlenecks", lead, None, CASE_FILES, tuple(lines), left_out)
