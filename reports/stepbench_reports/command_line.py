"""The parser and the exit code that all command lines of stepbench share."""

import argparse
from typing import NoReturn

USAGE_ERROR = 4
"""The exit code of wrong usage, as pytest has it."""


class Parser(argparse.ArgumentParser):
    """Ends with `USAGE_ERROR` on wrong usage: argparse's own exit code has another meaning here."""

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser`."""
        self.exit(USAGE_ERROR, f"error: {message}; see {self.prog} --help\n")
