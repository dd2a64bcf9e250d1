"""The parser and the exit code that all command lines of stepbench share."""

import argparse
from typing import NoReturn

USAGE_ERROR = 4
"""The exit code of wrong usage, the same as pytest's."""


class Parser(argparse.ArgumentParser):
    """Exits with `USAGE_ERROR` on wrong usage: here argparse's code, 2, has another meaning."""

    def error(self, message: str) -> NoReturn:
        """Prints the message with a hint to `--help`, and exits with `USAGE_ERROR`."""
        self.exit(USAGE_ERROR, f"error: {message}; see {self.prog} --help\n")
