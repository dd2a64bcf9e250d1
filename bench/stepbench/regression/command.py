"""`stepbench regression`: fails if head is slower than base by more than noise."""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from stepbench.config.option_definitions import add_flags
from stepbench.errors import UsageError
from stepbench.process.server import ServerGoneError
from stepbench.regression.options import CHECK_FLAGS, RUN_FLAGS, CheckOptions, read
from stepbench.results.writing import StoreError
from stepbench_reports import ReportError
from stepbench_reports.command_line import USAGE_ERROR, Parser

if TYPE_CHECKING:
    from stepbench_reports.regression.decision import Decision

NOT_MEASURED = 2
RESUME = next(flag for flag in RUN_FLAGS if flag.name == "--resume")
BUDGET = next(flag for flag in CHECK_FLAGS if flag.name == "--budget")
SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
"""The environment variable that names the job summary file of GitHub Actions."""
EPILOG = """\
examples:
  stepbench regression --base main               the working tree against main
  stepbench regression --base v1.2 --head v1.3 --workload train/bench.py:make
  stepbench regression --base main --min-effect 2% --budget 20m
  stepbench regression --base-python ../torch-2.9/bin/python   two environments
  stepbench regression --base results/latest     a stored run: a trend, not a verdict
  stepbench regression --resume results/regression-20261125-093000-1f2e
  stepbench report DIR                           the verdict again, from the recorded pairs

Base is checked out in a temporary directory. A base process and a head process take turns of some
tens of milliseconds, so that noise affects both alike. A row that looks slower is measured again in
fresh pairs before it counts. docs/regression.md describes the method and its error rate. The
default cases are those of stepbench run: name the cases that matter.

Writes results/regression-TIME-ID: report.md for a pull request, junit.xml, verdict.json, and the
pairs. If GITHUB_STEP_SUMMARY is set, the report is also appended to that file.

exit codes: 0 no regression (improvements and inconclusive rows are reported), 1 a confirmed
regression, 2 could not tell, 4 wrong usage.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs a check.

    Args:
        arguments: The command line after `stepbench regression`.

    Returns:
        The exit code.
    """
    values = vars(parser().parse_args(list(arguments)))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    console = Console(highlight=False)
    try:
        if values[RESUME.destination] is not None:
            return _resume(Path(values[RESUME.destination]), values, console)
        return _start(read(values, Path.cwd()), list(arguments), console)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    except (StoreError, ServerGoneError, ReportError) as error:
        print(f"error: {error}", file=sys.stderr)
    except Exception:  # noqa: BLE001  # exit code 1 means that head is slower, and nothing else
        traceback.print_exc()
    except KeyboardInterrupt:
        print("interrupted before anything was measured", file=sys.stderr)
    return NOT_MEASURED


def _start(options: CheckOptions, arguments: Sequence[str], console: Console) -> int:
    # Slow imports, which --help and wrong usage need not wait for.
    from stepbench.regression import check, directory, trend  # noqa: PLC0415

    if options.stored_run is not None:
        try:
            _append_to_summary(trend.run(options, options.stored_run, console))
        except trend.TrendError as error:
            print(f"error: {error}", file=sys.stderr)
            return NOT_MEASURED
        return 0
    with directory.created(options.run.output) as created:
        return _finish(check.run(options, created, arguments, console), console)


def _resume(path: Path, values: Mapping[str, Any], console: Console) -> int:
    """Resumes a check with the check's original options; only the budget may change."""
    from stepbench.regression import check, directory  # noqa: PLC0415  # slow, as in `_start`

    extra_options = [
        flag.name
        for flag in (*CHECK_FLAGS, *RUN_FLAGS)
        if values[flag.destination] and flag not in (RESUME, BUDGET)
    ]
    if extra_options:
        raise UsageError(
            f"--resume {path}: a resumed check keeps its options; leave {extra_options[0]} out, or "
            f"start a new check"
        )
    with directory.reopened(path) as reopened:
        spec = reopened.read_spec()
        arguments = () if spec is None else spec.arguments  # never `None`: `reopened` has read it
        original_values = vars(parser().parse_args(list(arguments)))
        options = read(
            {**original_values, BUDGET.destination: values[BUDGET.destination]}, Path.cwd()
        )
        return _finish(check.run(options, reopened, arguments, console), console)


def _finish(decision: "Decision", console: Console) -> int:
    """Shows the verdict; returns its exit code."""
    from stepbench_reports import regression  # noqa: PLC0415  # slow, as in `_start`
    from stepbench_reports.regression.writing import REPORT  # noqa: PLC0415

    report = decision.check.path / REPORT
    regression.show(decision, console)
    console.print(f"wrote {report}", soft_wrap=True, markup=False)
    _append_to_summary(report)
    return decision.exit_code


def _append_to_summary(report: Path) -> None:
    """Appends the report to the job summary of GitHub Actions, if there is one."""
    summary = os.environ.get(SUMMARY_VARIABLE)
    if summary:
        with Path(summary).open("a") as file:
            file.write(report.read_text() + "\n")


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line, with its help."""
    command_line = Parser(
        prog="stepbench regression",
        description="Compares training steps of two revisions, or two environments, side by side; "
        "fails if head is slower by more than noise.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="stepbench regression --base REV [OPTIONS]   "
        "(in this repository also: nox -s regression -- --base REV [OPTIONS])",
    )
    add_flags(command_line, (*CHECK_FLAGS, *RUN_FLAGS))
    return command_line
