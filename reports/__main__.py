"""`python -m reports RUN`: makes a run's reports again, anywhere, without torch."""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from . import ReportError, load, show, write
from .command_line import USAGE_ERROR, Parser

EPILOG = """\
examples:
  python -m reports                                the latest run beneath results/
  python -m reports results/20261124-123015-k3f9   any other; a file of pytest-benchmark will do
  python -m reports copied/from/elsewhere          the machine that measured it need not be this one
  python -m reports RUN --against OTHER            ratios with intervals, and what else differs
  python -m reports RUN --against MON TUE WED      a trend
  python -m reports RUN --by batch_size            a column for each batch size
  python -m reports RUN --baseline compile=off     every case against the same one without compiling
  python -m reports RUN --where 'device == "cpu" and batch_size >= 32'
  python -m reports RUN --operators b32-w0-off b32-w0-default
                                                   which operators account for the difference

without options writes into the run's directory:
  report.html      one page: table of all cases to sort and filter, figures, details; no network
  report.md        for a pull request: headline, table of cases, what limits the figures, details
  figures/*.svg    the page's figures, a file each
  phases.csv       a row per case, clock and phase: median, interval, quantiles, share; seconds
  samples.parquet  a row per case, clock and step; seconds
  operators.csv    of a run with --profile: a row per case, phase, operator and shapes; per step

Options print, and write nothing: tables on a terminal, and Markdown into a file or a pipe. --where
goes with each of the others. A run that was cut off is reported on as far as it got. In Python,
reports.load(RUN) gives the same figures as pandas frames: .cases, .phases, and .samples with every
step.

exit codes: 0 written, 4 wrong usage: no such run, or its directory cannot be written.
"""


def main(arguments: list[str] | None = None) -> int:
    """Writes a run's reports and prints its table.

    Args:
        arguments: The command line without the program's name; `None` takes the process's own.

    Returns:
        The exit code.
    """
    parser = Parser(
        prog="python -m reports",
        description="Makes a run's reports again from its directory; prints the table of cases.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        type=Path,
        default=Path("results") / "latest",
        help="the run's directory, the one with run.json in it (default: %(default)s)",
    )
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        help="only cases of which a condition holds, over the columns of pandas' frame of cases",
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
    asked = parser.parse_args(arguments)
    if asked.shapes and asked.operators is None:
        parser.error("--shapes: is for --operators A B")
    console = Console()
    try:
        _answer(asked, console)
    except ReportError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    return 0


def _answer(asked: argparse.Namespace, console: Console) -> None:
    """Prints what was asked for; writes the reports where nothing in particular was."""
    # pandas takes a second, which --help need not
    from . import against, operators, slicing  # noqa: PLC0415

    run = load(asked.run)
    if asked.where is not None:
        run = slicing.where(run, asked.where)
    if asked.against is not None:
        others = [load(other) for other in asked.against]
        if asked.where is not None:
            others = [slicing.matching(other, asked.where) for other in others]
        _print(against.markdown(run, others), console)
    elif asked.by is not None:
        _print("\n".join(slicing.by(run, asked.by).lines), console)
    elif asked.baseline is not None:
        _print("\n".join(slicing.baseline(run, asked.baseline).lines), console)
    elif asked.operators is not None:
        a, b = (operators.find(run, name) for name in asked.operators)
        console.print(operators.told(run, a, b, shapes=asked.shapes))
    else:
        written = write(run) if asked.where is None and asked.run.is_dir() else []
        show(run, console)
        console.print()
        for path in written:
            console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)


def _print(markdown: str, console: Console) -> None:
    """Markdown as a terminal shows it, and as it is where it goes into a file or a pipe."""
    if console.is_terminal:
        console.print(Markdown(markdown))
    else:
        print(markdown.rstrip())


if __name__ == "__main__":
    raise SystemExit(main())
