"""Parses paths, counts, sizes, shares and durations from the command line."""

import math
import re
from pathlib import Path

from stepbench.errors import UsageError


def path(value: str | None) -> Path | None:
    """An absolute path with `~` expanded; `None` if the value is `None`."""
    return None if value is None else Path(value).expanduser().absolute()


def count(option: str, word: str) -> int:
    """Parses a whole number of 1 or more.

    Raises:
        UsageError: The word is not such a number.
    """
    number = int(word) if word.isdecimal() else 0
    if number < 1:
        raise UsageError(f"{option} {word}: give a whole number of 1 or more")
    return number


def positive(option: str, word: str | None, default: float, unit: str) -> float:
    """Parses a finite number above 0; `None` gives the default.

    Raises:
        UsageError: The word is not such a number.
    """
    if word is None:
        return default
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UsageError(f"{option} {word}: give {unit} above 0, such as {default:g}")
    return number


_UNITS = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "KB": 1e3, "MB": 1e6, "GB": 1e9}


def size(option: str, word: str | None) -> int | None:
    """Parses a size such as `8GiB` or `500MB` into bytes; `None` stays `None`.

    Raises:
        UsageError: The word is not a size of at least one byte.
    """
    if word is None:
        return None
    digits = word.rstrip("BKMGibkmg")
    unit = word[len(digits) :].upper()
    try:
        size = float(digits) * _UNITS[unit]
    except (KeyError, ValueError):
        size = 0
    if not 1 <= size < math.inf:
        raise UsageError(f"{option} {word}: give a size above 0, such as 8GiB or 500MB")
    return int(size)


def share(option: str, word: str | None, default: float, minimum: float, maximum: float) -> float:
    """Parses a share such as `3%` or `0.03`; `None` gives the default.

    Raises:
        UsageError: The word is not a share from `minimum` to `maximum`.
    """
    if word is None:
        return default
    digits, percent = word.rstrip("% "), word.rstrip().endswith("%")
    try:
        number = float(digits) / (100 if percent else 1)
    except ValueError:
        number = math.nan
    if not minimum <= number <= maximum:
        raise UsageError(
            f"{option} {word}: give a share of the step from {minimum:.0%} to {maximum:.0%}, "
            f"such as {default:.0%} or {default:g}"
        )
    return number


_DURATION = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>s|m|min|h)?")
_UNITS_S = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def duration(option: str, word: str | None, default_s: float) -> float:
    """Parses a duration such as `90s`, `10m` or `1h` into seconds; `None` gives the default.

    Raises:
        UsageError: The word is not a duration above 0.
    """
    if word is None:
        return default_s
    match = _DURATION.fullmatch(word)
    seconds = 0.0 if match is None else float(match["number"]) * _UNITS_S[match["unit"]]
    if not seconds:
        raise UsageError(f"{option} {word}: give a time above 0, such as 90s, 10m or 1h")
    return seconds


def option_name(field: str) -> str:
    """The option that sets a field, such as `--batch-size` for `batch_size`."""
    return "--" + field.replace("_", "-")
