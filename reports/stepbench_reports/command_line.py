"""The parser, the type of paths, errors and the exit code that all command lines share."""

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

from stepbench_reports.schema.text import printable

USAGE_ERROR = 4
"""The exit code of wrong usage, the same as pytest's."""
_MAX_SHOWN = 60
"""The maximum number of a path's characters in an error message."""


class Parser(argparse.ArgumentParser):
    """Exits with `USAGE_ERROR` on wrong usage: here argparse's code, 2, has another meaning.

    The lines of its description and epilog are kept as they are.

    Args:
        options: Those of argparse's parser.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**options)

    def error(self, message: str) -> NoReturn:
        """Prints the message with a hint to `--help`, and exits with `USAGE_ERROR`."""
        self.exit(USAGE_ERROR, printable(f"error: {message}; see {self.prog} --help\n"))


def print_error(error: Exception | str) -> None:
    """Prints what has gone wrong, escaped for the terminal."""
    print(printable(f"error: {error}"), file=sys.stderr)


def results_path(word: str) -> Path:
    """Parses the path of a run, a check or a file, which need not exist, for argparse.

    Raises:
        argparse.ArgumentTypeError: The system cannot use the path.
    """
    path = Path(word)
    try:
        if not word:
            raise argparse.ArgumentTypeError("'': is empty; give a run's directory")
        (path / "run.json").lstat()  # in the directory, which may lack the permission to search it
    except (FileNotFoundError, NotADirectoryError):
        return path
    except OSError as error:
        fault = error.strerror
    except ValueError as error:
        fault = str(error)
    else:
        return path
    start = word[:_MAX_SHOWN] + "..." * (len(word) > _MAX_SHOWN)
    raise argparse.ArgumentTypeError(f"{start!r}: cannot be used ({fault}); give a run's directory")
