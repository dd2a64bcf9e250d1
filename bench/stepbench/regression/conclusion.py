"""Concludes a check with its verdict: on the terminal, on GitHub, and in the check's directory."""

from contextlib import suppress

from rich.console import Console

from stepbench.process.server import ServerGoneError
from stepbench.regression import github
from stepbench.regression.directory import CheckDirectory
from stepbench.results.writing import StoreError
from stepbench_reports import ReportError, regression
from stepbench_reports.regression.decision import Decision
from stepbench_reports.regression.headline import headline
from stepbench_reports.regression.writing import REPORT
from stepbench_reports.schema.check import BeginFact, FatalFact
from stepbench_reports.schema.verdict import CheckOutcome


def finish(decision: Decision, console: Console) -> int:
    """Shows the verdict of a check.

    Returns:
        The exit code.
    """
    report = decision.check.path / REPORT
    regression.show(decision, console)
    console.print(f"wrote {report}", soft_wrap=True, markup=False)
    github.append_to_summary(report.read_text(encoding="utf-8"))
    match decision.outcome:
        case CheckOutcome.REGRESSION | CheckOutcome.NOT_COMPARED:
            github.annotate("error", headline(decision))
        case CheckOutcome.UNDECIDED:
            github.annotate("warning", headline(decision))
        case CheckOutcome.PASS:
            pass
    regression.show_exit(decision, console)
    return decision.exit_code


def record_failure(directory: CheckDirectory, error: Exception) -> None:
    """Records in a check's directory that stepbench failed, so that `verdict.json` says so."""
    with suppress(StoreError, ReportError):
        if directory.read_spec() is not None:
            directory.add_fact(BeginFact())
            foreseen = isinstance(error, (StoreError, ServerGoneError, ReportError))
            reason = str(error) if foreseen else f"stepbench failed: {error!r}"
            directory.add_fact(FatalFact(reason=reason))
            regression.write(directory.path)
