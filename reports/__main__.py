"""`python -m reports RUN`: makes a run's reports again, anywhere, without torch."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console

from . import ReportError, load, show, write

if TYPE_CHECKING:
    from .frame import Run

USAGE_ERROR = 4
"""The exit code of wrong usage, as pytest has it."""

EPILOG = """\
examples:
  python -m reports                                the latest run beneath results/
  python -m reports results/20261124-123015-k3f9   any other
  python -m reports results/latest --operators b32-w0-off b32-w0-default
                                                   which operators account for the difference
  python -m reports copied/from/elsewhere          the machine that measured it need not be this one

writes into the run's directory:
  report.md    for a pull request: headline, table of cases, what limits the figures, details
  phases.csv   a row per case, clock and phase: median, interval, quantiles, share; seconds
  operators.csv   of a run with --profile: a row per case, phase, operator and shapes; per step

A run that was cut off is reported on as far as it got. In Python, reports.load(RUN) gives the same
figures as pandas frames: .cases, .phases, and .samples with every step.

exit codes: 0 written, 4 wrong usage: no such run, or its directory cannot be written.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(USAGE_ERROR, f"error: {message}; see python -m reports --help\n")


def main(arguments: list[str] | None = None) -> int:
    """Writes a run's reports and prints its table.

    Args:
        arguments: The command line without the program's name; `None` takes the process's own.

    Returns:
        The exit code.
    """
    parser = _Parser(
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
        "--operators",
        metavar=("A", "B"),
        nargs=2,
        help="print which operators account for the difference between two profiled cases, by "
        "parts of their names, and write nothing",
    )
    parser.add_argument(
        "--shapes", action="store_true", help="tell operators apart by the shapes of their inputs"
    )
    asked = parser.parse_args(arguments)
    if asked.shapes and asked.operators is None:
        parser.error("--shapes: is for --operators A B")
    console = Console()
    try:
        run = load(asked.run)
        if asked.operators is not None:
            _compare(run, asked.operators, console, shapes=asked.shapes)
            return 0
        written = write(run)
    except ReportError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    show(run, console)
    console.print()
    for path in written:
        console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _compare(run: "Run", names: list[str], console: Console, *, shapes: bool) -> None:
    """Prints which operators account for the difference between two cases."""
    from . import operators  # noqa: PLC0415  # pandas takes a second, which --help need not

    a, b = (operators.find(run, name) for name in names)
    console.print(operators.told(run, a, b, shapes=shapes))


if __name__ == "__main__":
    raise SystemExit(main())
