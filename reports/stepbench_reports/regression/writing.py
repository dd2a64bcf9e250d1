"""Writes a verdict into the check's directory, each file atomically."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stepbench_reports.errors import ReportError
from stepbench_reports.regression import culprit, decision, junit, markdown
from stepbench_reports.regression.decision import Decision
from stepbench_reports.regression.records import Check
from stepbench_reports.schema.files import VERDICT, atomic_write, write_record
from stepbench_reports.schema.text import encodable

REPORT, JUNIT = "report.md", "junit.xml"


def write(check: Check) -> Decision:
    """Decides a check, and writes `verdict.json`, `report.md` and `junit.xml`.

    Raises:
        ReportError: A file cannot be written.
    """
    decided = decision.decide(check)
    with _report_errors(check.path / VERDICT) as path:
        file = decision.verdict_file(decided, culprit.following(decided))
        write_record(path, file, indented=True)
    with _report_errors(check.path / REPORT) as path, atomic_write(path) as temporary:
        temporary.write_bytes(encodable(markdown.render(decided)).encode())
    with _report_errors(check.path / JUNIT) as path, atomic_write(path) as temporary:
        temporary.write_bytes(junit.render(decided))
    return decided


@contextmanager
def _report_errors(path: Path) -> Iterator[Path]:
    """Converts an `OSError` from writing a file into a `ReportError` with the remedy."""
    try:
        yield path
    except OSError as error:
        raise ReportError(
            f"{path}: cannot be written ({error.strerror}); free disk space, or copy the check to "
            f"a directory that can be written"
        ) from error
