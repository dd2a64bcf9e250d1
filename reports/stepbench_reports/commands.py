"""The subcommands that read results, `stepbench report` and `compare`. Neither needs torch."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from stepbench_reports import load, regression, show, write
from stepbench_reports.command_line import USAGE_ERROR, Parser
from stepbench_reports.errors import ReportError

LATEST = Path("results") / "latest"
REPORT_EPILOG = """\
examples:
  stepbench report                                the latest run beneath results/
  stepbench report results/20261124-123015-k3f9   any other; a file of pytest-benchmark will do
  stepbench report copied/from/elsewhere          the machine that measured it need not be this one
  stepbench report results/regression-20261125-093000-1f2e
                                                  a check: comes to its verdict again

writes into a run's directory:
  report.html      one page: table of all cases to sort and filter, figures, details; no network
  report.md        for a pull request: headline, table of cases, what limits the figures, details
  figures/*.svg    the page's figures, a file each
  phases.csv       a row per case, clock and phase: median, interval, quantiles, share; seconds
  samples.parquet  a row per case, clock and step; seconds
  operators.csv    of a run with --profile: a row per case, phase, operator and shapes; per step
and into a check's: verdict.json, report.md and junit.xml.

A run that was cut off is reported on as far as it got. In Python, stepbench.load(RUN) gives the
same figures as pandas frames: .cases, .phases, and .samples with every step.

exit codes: 0 written, 4 wrong usage: no such run, or its directory cannot be written; of a check
those of its verdict: 0 no regression, 1 a regression, 2 could not tell.
"""
COMPARE_EPILOG = """\
examples:
  stepbench compare RUN --against OTHER           ratios with intervals, and what else differs
  stepbench compare RUN --against MON TUE WED     a trend
  stepbench compare RUN --by batch_size           a column for each batch size
  stepbench compare RUN --baseline compile=off    every case against the same one without compiling
  stepbench compare RUN --where 'device == "cpu" and batch_size >= 32'
  stepbench compare RUN --operators b32-w0-off b32-w0-default
                                                  which operators account for the difference

Prints, and writes nothing: tables on a terminal, and Markdown into a file or a pipe. --where goes
with each of the others.

exit codes: 0 printed, 4 wrong usage: no such run, case or axis.
"""


def report(arguments: Sequence[str]) -> int:
    """Writes the reports of a run or a check again, and prints the table of cases or rows.

    Args:
        arguments: The command line's arguments after `stepbench report`.

    Returns:
        The exit code.
    """
    parser = _parser(
        "report",
        "Makes a run's reports again from its directory, and prints the table of cases; of a "
        "check's directory, comes to its verdict again. Needs neither torch nor the machine that "
        "measured.",
        REPORT_EPILOG,
    )
    options = parser.parse_args(list(arguments))
    console = Console()
    try:
        if regression.holds_check(options.run):
            decision = regression.write(options.run)
            regression.show(decision, console)
            return decision.exit_code
        run = load(options.run)
        written = write(run) if options.run.is_dir() else []
        show(run, console)
    except ReportError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    console.print()
    for path in written:
        console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)
    return 0


def compare(arguments: Sequence[str]) -> int:
    """Compares a run with other runs, or a run's cases with each other, and prints the result.

    Args:
        arguments: The command line's arguments after `stepbench compare`.

    Returns:
        The exit code.
    """
    parser = _compare_parser()
    values = parser.parse_args(list(arguments))
    if values.shapes and values.operators is None:
        parser.error("--shapes: is for --operators A B")
    options = (values.against, values.by, values.baseline, values.operators, values.where)
    if all(option is None for option in options):
        parser.error("say what to compare: --against, --by, --baseline, --operators or --where")
    try:
        _print_comparison(values, Console())
    except ReportError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    return 0


def _parser(name: str, description: str, epilog: str) -> Parser:
    parser = Parser(
        prog=f"stepbench {name}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        type=Path,
        default=LATEST,
        help="the run's directory, the one with run.json in it (default: %(default)s)",
    )
    return parser


def _compare_parser() -> Parser:
    parser = _parser(
        "compare",
        "Compares a run with others, or its own cases with each other.",
        COMPARE_EPILOG,
    )
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        help="only cases of which a condition holds, over the columns of pandas' frame of cases; "
        "alone it prints their table",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--against",
        metavar="OTHER",
        nargs="+",
        type=Path,
        help="pair the cases with those of another run; several other runs make a trend",
    )
    what.add_argument(
        "--by", metavar="AXIS", help="samples/s with a column for each value of an axis"
    )
    what.add_argument(
        "--baseline",
        metavar="AXIS=VALUE",
        help="each case against the same one with this value, such as compile=off",
    )
    what.add_argument(
        "--operators",
        metavar=("A", "B"),
        nargs=2,
        help="which operators account for the difference between two profiled cases, by parts of "
        "their names",
    )
    parser.add_argument(
        "--shapes", action="store_true", help="tell operators apart by the shapes of their inputs"
    )
    return parser


def _print_comparison(options: argparse.Namespace, console: Console) -> None:
    # importing pandas takes a second; --help must not wait for it
    from stepbench_reports.comparing import against, operators, slicing  # noqa: PLC0415

    run = load(options.run)
    if options.where is not None:
        run = slicing.where(run, options.where)
    if options.against is not None:
        others = [load(other) for other in options.against]
        if options.where is not None:
            others = [slicing.matching(other, options.where) for other in others]
        _print(against.markdown(run, others), console)
    elif options.by is not None:
        _print("\n".join(slicing.by(run, options.by).lines), console)
    elif options.baseline is not None:
        _print("\n".join(slicing.baseline(run, options.baseline).lines), console)
    elif options.operators is not None:
        a, b = (operators.find(run, name) for name in options.operators)
        console.print(operators.table(run, a, b, shapes=options.shapes))
    else:
        show(run, console)


def _print(markdown: str, console: Console) -> None:
    """Prints Markdown: formatted on a terminal, as source text into a file or a pipe."""
    if console.is_terminal:
        console.print(Markdown(markdown))
    else:
        print(markdown.rstrip())
