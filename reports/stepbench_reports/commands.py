"""The subcommands that read results: `stepbench report`, `compare`, `trend`. None needs torch."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markdown import Markdown

from stepbench_reports import load, regression, show, write
from stepbench_reports.command_line import USAGE_ERROR, Parser, print_error, results_path
from stepbench_reports.errors import ReportError
from stepbench_reports.render.console import make_console
from stepbench_reports.schema.files import atomic_write
from stepbench_reports.schema.text import printable

if TYPE_CHECKING:
    from stepbench_reports.read.run import Run

LATEST = Path("results") / "latest"
REPORT_EPILOG = """\
examples:
  stepbench report                                the latest run in results/
  stepbench report results/20261124-123015-k3f9   another run, or a JSON file of pytest-benchmark
  stepbench report copied/from/elsewhere          a run that another machine measured
  stepbench report results/regression-20261125-093000-1f2e
                                                  a check: computes the verdict again

writes into a run's directory:
  report.html      one page: table of all cases to sort and filter, figures, details; works offline
  report.md        for a pull request: headline, table of cases, what limits the figures, details
  figures/*.svg    the figures of report.html, one file each
  phases.csv       a row per case, clock and phase: median, interval, quantiles, share; seconds
  samples.parquet  a row per case, clock and step; seconds
  operators.csv    with --profile: a row per case, phase, operator and shapes; figures per step
writes into a check's directory: verdict.json, report.md and junit.xml

The report of an interrupted run shows the cases measured so far. In Python, stepbench.load(RUN)
gives the same figures as pandas frames: .cases, .phases, and .samples with every step.

exit codes: 0 written, 4 wrong usage: no such run, or its directory cannot be written. For a check,
those of stepbench regression.
"""
COMPARE_EPILOG = """\
examples:
  stepbench compare RUN --against OTHER           ratios with intervals, and other differences
  stepbench compare RUN --against MON TUE WED     a trend over several runs
  stepbench compare RUN --by batch_size           a column for each batch size
  stepbench compare RUN --baseline compile=off    speed-up of every case over the uncompiled case
  stepbench compare RUN --where 'device == "cpu" and batch_size >= 32'
  stepbench compare RUN --operators b32-w0-off b32-w0-default
                                                  the operators that cause the difference

Prints tables on a terminal, and Markdown into a file or a pipe; writes no files. --where can be
combined with every other option.

exit codes: 0 printed, 4 wrong usage: no such run, case or axis.
"""


TREND_EPILOG = """\
examples:
  stepbench trend results                         all checks in results/
  stepbench trend results/regression-*            the same
  stepbench trend downloaded/* --output trend.svg checks of other machines or jobs

Prints each case's change in each check, the oldest first, and draws them. A change is that from the
check's own base to its head, which stepbench regression measured side by side: changes of different
checks may be compared, and they do not add up. A check's directory needs only check.json and
verdict.json.

exit codes: 0 written, 4 wrong usage: no such check, or the figure cannot be written.
"""


def report(arguments: Sequence[str]) -> int:
    """Writes the reports of a run or a check again, and prints the table of cases or rows.

    Args:
        arguments: The command line's arguments after `stepbench report`.

    Returns:
        The exit code.
    """
    options = report_parser().parse_args(list(arguments))
    console = make_console()
    try:
        if regression.holds_check(options.run):
            decision = regression.write(options.run)
            regression.show(decision, console)
            regression.show_exit(decision, console)
            return decision.exit_code
        run = load(options.run)
        written = write(run) if options.run.is_dir() else []
        show(run, console)
    except ReportError as error:
        print_error(error)
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
    parser = compare_parser()
    values = parser.parse_args(list(arguments))
    if values.shapes and values.operators is None:
        parser.error("--shapes: applies only to --operators; add --operators A B")
    options = (values.against, values.by, values.baseline, values.operators, values.where)
    if all(option is None for option in options):
        parser.error("nothing to compare; give --against, --by, --baseline, --operators or --where")
    try:
        _print_comparison(values, make_console())
    except ReportError as error:
        print_error(error)
        return USAGE_ERROR
    return 0


def trend(arguments: Sequence[str]) -> int:
    """Prints and draws the verdicts of checks over commits.

    Args:
        arguments: The command line's arguments after `stepbench trend`.

    Returns:
        The exit code.
    """
    options = trend_parser().parse_args(list(arguments))
    # Importing Matplotlib takes a second; --help must not wait for it.
    from stepbench_reports.figures import style  # noqa: PLC0415
    from stepbench_reports.regression import trend as checks_trend  # noqa: PLC0415

    try:
        checks = checks_trend.load(options.checks)
        _write_text(options.output, style.svg(checks_trend.drawing(checks), "trend"))
    except ReportError as error:
        print_error(error)
        return USAGE_ERROR
    print("\n".join(checks_trend.lines(checks)))
    print(f"\nwrote {options.output}")
    return 0


def _write_text(file: Path, text: str) -> None:
    """Writes a file atomically.

    Raises:
        ReportError: The file cannot be written.
    """
    try:
        with atomic_write(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReportError(
            f"--output {file}: cannot be written ({error.strerror}); give a file in a writable "
            f"directory"
        ) from error


def _parser(name: str, description: str, epilog: str) -> Parser:
    parser = Parser(
        prog=f"stepbench {name}",
        description=description,
        epilog=epilog,
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        type=results_path,
        default=LATEST,
        help="the run's directory, which contains run.json (default: %(default)s)",
    )
    return parser


def report_parser() -> Parser:
    """Makes the parser of `stepbench report`."""
    return _parser(
        "report",
        "Writes a run's reports again from its directory, and prints the table of cases. For a "
        "check's directory, computes the verdict again. Needs neither torch nor the machine that "
        "was measured.",
        REPORT_EPILOG,
    )


def compare_parser() -> Parser:
    """Makes the parser of `stepbench compare`."""
    parser = _parser(
        "compare",
        "Compares a run with other runs, or a run's cases with each other.",
        COMPARE_EPILOG,
    )
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        help="only the cases that meet a condition over the columns of the pandas frame .cases; "
        "without another option, prints the table of these cases",
    )
    comparisons = parser.add_mutually_exclusive_group()
    comparisons.add_argument(
        "--against",
        metavar="OTHER",
        nargs="+",
        type=results_path,
        help="compare with the same cases of another run; several other runs show a trend",
    )
    comparisons.add_argument(
        "--by", metavar="AXIS", help="samples/s with a column for each value of an axis"
    )
    comparisons.add_argument(
        "--baseline",
        metavar="AXIS=VALUE",
        help="compare each case with the same case that has this value, such as compile=off",
    )
    comparisons.add_argument(
        "--operators",
        metavar=("A", "B"),
        nargs=2,
        help="compare two profiled cases by operator; give the cases' names or parts of them",
    )
    parser.add_argument(
        "--shapes",
        action="store_true",
        help="with --operators, distinguish operators by the shapes of their inputs",
    )
    return parser


def trend_parser() -> Parser:
    """Makes the parser of `stepbench trend`."""
    parser = Parser(
        prog="stepbench trend",
        description="Shows verdicts and estimates of regression checks over commits.",
        epilog=TREND_EPILOG,
    )
    parser.add_argument(
        "checks",
        metavar="DIR",
        nargs="+",
        type=Path,
        help="a check's directory, or a directory that contains such directories",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        default=Path("trend.svg"),
        help="the figure to write, SVG (default: %(default)s)",
    )
    return parser


def _print_comparison(options: argparse.Namespace, console: Console) -> None:
    # Importing pandas takes a second; --help must not wait for it.
    from stepbench_reports.comparing import against, operators, slicing  # noqa: PLC0415

    run: Run = load(options.run)
    if options.where is not None:
        run = slicing.where(run, options.where)
    if options.against is not None:
        others: list[Run] = [load(other) for other in options.against]
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
        print(printable(markdown.rstrip()))
