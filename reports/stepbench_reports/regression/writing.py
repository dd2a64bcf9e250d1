"""Writes a verdict into the check's directory, each file atomically."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stepbench_reports.errors import ReportError
from stepbench_reports.regression import decision, junit, markdown
from stepbench_reports.regression.decision import Decision
from stepbench_reports.regression.records import Check
from stepbench_reports.schema.files import VERDICT, atomic_write, write_record

REPORT, JUNIT = "report.md", "junit.xml"


def write(check: Check) -> Decision:
    """Decides a check, and writes `verdict.json`, `report.md` and `junit.xml`.

    Raises:
        ReportError: A file cannot be written.
    """
    found = decision.decide(check)
    with _report_errors(check.path / VERDICT) as place:
        write_record(place, decision.verdict_file(found), indented=True)
    with _report_errors(check.path / REPORT) as place, atomic_write(place) as beside:
        beside.write_bytes(markdown.render(found).encode())
    with _report_errors(check.path / JUNIT) as place, atomic_write(place) as beside:
        beside.write_bytes(junit.render(found))
    return found


@contextmanager
def _report_errors(place: Path) -> Iterator[Path]:
    """Converts an `OSError` from writing a file into a `ReportError` with the remedy."""
    try:
        yield place
    except OSError as error:
        raise ReportError(
            f"{place}: cannot be written ({error.strerror}); make room, or copy the run to a "
            f"directory that can be written"
        ) from error
