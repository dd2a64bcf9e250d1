"""`python -m reports.regression DIR`: comes to a check's verdict again, from what it recorded."""

import sys
from pathlib import Path

from rich.console import Console

from ..command_line import USAGE_ERROR, Parser
from ..errors import ReportError
from . import load, show, write


def main(arguments: list[str] | None = None) -> int:
    """Decides again, writes the check's reports anew and prints them.

    Returns:
        0 for no regression, 1 for one, 2 where the check could not tell, 4 for wrong usage.
    """
    parser = Parser(
        prog="python -m reports.regression",
        description="Comes to a check's verdict again from its recorded pairs, without torch and "
        "on any machine; writes verdict.json, report.md and junit.xml anew.",
        epilog="exit codes: 0 no regression, 1 a regression, 2 could not tell, 4 wrong usage",
    )
    parser.add_argument("check", metavar="DIR", type=Path, help="the check's directory")
    asked = parser.parse_args(arguments)
    try:
        decision = write(load(asked.check).path)
    except ReportError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    show(decision, Console())
    return decision.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
