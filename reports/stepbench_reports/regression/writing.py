"""Writes a verdict into the check's directory, each file whole or not at all."""

import json

from stepbench_reports.regression import decision, junit, markdown
from stepbench_reports.regression.decision import Decision
from stepbench_reports.regression.records import Check
from stepbench_reports.render.writing import write_file

VERDICT, REPORT, JUNIT = "verdict.json", "report.md", "junit.xml"


def write(check: Check) -> Decision:
    """Decides, and writes what came of it.

    Raises:
        ReportError: A file cannot be written.
    """
    found = decision.decide(check)
    verdict = json.dumps(decision.to_json(found), indent=1, allow_nan=False)
    write_file(check.path / VERDICT, verdict.encode())
    write_file(check.path / REPORT, markdown.render(found).encode())
    write_file(check.path / JUNIT, junit.render(found))
    return found
