"""The parts of a script that were recognised, in words."""

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.script import EVALUATION
from stepbench_reports.wording import quantity, summary

MAX_LINES = 12
"""The most lines on what was recognised; a section of the report has a table of all."""


def recognised(run: Run) -> list[str]:
    """Says for each script what was recognised and what was not; once for cases that are alike."""
    groups: dict[tuple[tuple[str, bool], ...], list[Measurement]] = {}
    for measurement in run.measured:
        if measurement.script is not None:
            alike = tuple(
                (part.name, part.found is None)
                for part in measurement.script.parts
                if part.name != EVALUATION  # which may just not fall into the time that is recorded
            )
            groups.setdefault(alike, []).append(measurement)
    lines: list[str] = []
    for cases in groups.values():
        prefix = f"{summary.names(run, cases)}: " if len(groups) > 1 else ""
        lines += [prefix + sentence for sentence in _lines(cases[0])]
    return (lines + _unexplained(run) + _ends(run))[:MAX_LINES]


def _lines(measurement: Measurement) -> list[str]:
    parts = () if measurement.script is None else measurement.script.parts
    found = [f"{part.name}: {part.found}" for part in parts if part.found]
    missing = [part.name for part in parts if not part.found]
    lines = [f"Recognised: {'; '.join(found)}."]
    if missing:
        lines.append(f"Not found, so blank: {', '.join(missing)}.")
    return lines


def _unexplained(run: Run) -> list[str]:
    """The share of wall time that no phase explains."""
    shares = [m.script.unexplained for m in run.measured if m.script is not None]
    if not shares:
        return []
    low, high = quantity.percent(min(shares)), quantity.percent(max(shares))
    share = low if low == high else f"{low} to {high}"
    what = "clipping, logging, schedulers, checkpoints"
    return [f"{share} of the wall time is in no phase and no evaluation: other, which is {what}."]


def _ends(run: Run) -> list[str]:
    """Says which scripts ended with an exit code of their own other than 0."""
    return [
        f"{summary.name(run, m)}: the script {m.script.ended} after {m.script.steps:,} steps; its "
        f"exit code is {m.script.exit_code}."
        for m in run.measured
        if m.script is not None and m.script.exit_code
    ]
