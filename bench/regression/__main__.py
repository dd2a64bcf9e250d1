"""`python -m bench.regression`: is head slower than base, by more than noise?"""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.child import ServerGoneError
from bench.errors import UsageError
from bench.regression.options import BORROWED, OWN_FLAGS, CheckOptions, read
from bench.search_path import leave_out_current_directory
from bench.store import StoreError
from reports import ReportError
from reports.command_line import USAGE_ERROR, Parser

if TYPE_CHECKING:
    from reports.regression.decision import Decision

NOT_MEASURED = 2
RESUME = next(flag for flag in BORROWED if flag.name == "--resume")
SUMMARY = "GITHUB_STEP_SUMMARY"
"""The environment variable with the file that GitHub Actions shows on a job's page."""
EPILOG = """\
examples:
  python -m bench.regression --base main               the working tree against main
  python -m bench.regression --base v1.2 --head v1.3 --workload train/bench.py:make
  python -m bench.regression --base main --min-effect 2% --budget 20m
  python -m bench.regression --base-python ../torch-2.9/bin/python   two environments
  python -m bench.regression --base results/latest     a stored run: a trend, and no verdict
  python -m bench.regression --resume results/regression-20261125-093000-1f2e
  python -m reports.regression DIR                     the verdict again, from what is recorded

Base is checked out beside head for as long as the check takes. Pairs of processes, one of base and
one of head, take turns of some tens of milliseconds, so that noise meets both alike; what looks
slower is measured again on fresh pairs before it counts. docs/regression.md says how, and how often
it is wrong. The default matrix is that of python -m bench: name the cases that matter to you.

Writes results/regression-TIME-ID: report.md for a pull request, junit.xml, verdict.json, and the
pairs. Where GITHUB_STEP_SUMMARY is set, the report goes there too.

exit codes: 0 no regression (improvements and what is inconclusive are told), 1 a confirmed
regression, 2 could not tell, 4 wrong usage.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a check.

    Args:
        arguments: The command line without the program's name; `None` takes the process's own.

    Returns:
        The exit code.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    values = vars(parser().parse_args(given))
    leave_out_current_directory()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends as Ctrl-C does
    console = Console(highlight=False)
    try:
        if values[RESUME.destination] is not None:
            return _go_on(Path(values[RESUME.destination]), values, console)
        return _begin(read(values, Path.cwd()), given, console)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    except (StoreError, ServerGoneError, ReportError) as error:
        print(f"error: {error}", file=sys.stderr)
    except Exception:  # noqa: BLE001  # exit code 1 says that head is slower, and nothing else
        traceback.print_exc()
    except KeyboardInterrupt:
        print("interrupted before anything was measured", file=sys.stderr)
    return NOT_MEASURED


def _begin(asked: CheckOptions, arguments: Sequence[str], console: Console) -> int:
    # What is slow to import, which --help and wrong usage need not wait for.
    from bench.regression import check, directory, trend  # noqa: PLC0415

    if asked.stored_run is not None:
        try:
            _summarize(trend.run(asked, asked.stored_run, console))
        except trend.TrendError as error:
            print(f"error: {error}", file=sys.stderr)
            return NOT_MEASURED
        return 0
    with directory.created(asked.run.output) as place:
        return _told(check.run(asked, place, arguments, console), console)


def _go_on(path: Path, values: Mapping[str, Any], console: Console) -> int:
    """Goes on with a check as it was asked for; only the budget may be another."""
    from bench.regression import check, directory  # noqa: PLC0415  # as above

    others = [
        flag.name
        for flag in (*OWN_FLAGS, *BORROWED)
        if values[flag.destination] and flag.name not in {RESUME.name, "--budget"}
    ]
    if others:
        raise UsageError(
            f"--resume {path}: goes on with the check as it was asked for; leave {others[0]} out, "
            f"or begin a new check"
        )
    with directory.reopened(path) as place:
        arguments: list[str] = (place.question() or {})["arguments"]
        before = vars(parser().parse_args(arguments))
        asked = read({**before, "stepbench_budget": values["stepbench_budget"]}, Path.cwd())
        return _told(check.run(asked, place, arguments, console), console)


def _told(decision: "Decision", console: Console) -> int:
    from reports import regression  # noqa: PLC0415  # as above
    from reports.regression.writing import REPORT  # noqa: PLC0415

    report = decision.check.path / REPORT
    regression.show(decision, console)
    console.print(f"wrote {report}", soft_wrap=True, markup=False)
    _summarize(report)
    return decision.exit_code


def _summarize(report: Path) -> None:
    """Adds the report to the page of a job of GitHub Actions."""
    summary = os.environ.get(SUMMARY)
    if summary:
        with Path(summary).open("a") as file:
            file.write(report.read_text() + "\n")


def parser() -> argparse.ArgumentParser:
    """The command line's options, and its help."""
    made = Parser(
        prog="python -m bench.regression",
        description="Compares training steps of two revisions, or two environments, side by side; "
        "fails where head is slower by more than noise.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="python -m bench.regression --base REV [OPTIONS]   "
        "(in this repository also: nox -s regression -- --base REV [OPTIONS])",
    )
    sections: dict[str, argparse._ArgumentGroup] = {}
    for flag in (*OWN_FLAGS, *BORROWED):
        if flag.section not in sections:
            sections[flag.section] = made.add_argument_group(flag.section)
        sections[flag.section].add_argument(
            flag.name, dest=flag.destination, help=flag.help, **flag.arguments
        )
    return made


if __name__ == "__main__":
    raise SystemExit(main())
