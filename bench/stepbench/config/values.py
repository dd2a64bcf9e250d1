"""Parses paths, counts, sizes, shares and durations from the command line."""

import math
import re
from pathlib import Path

from stepbench.errors import UsageError

MAX_WHOLE_NUMBER = 2**53
"""The largest whole number that a run directory can store."""
MAX_SECONDS = 1_000_000.0
"""The longest duration that an option accepts, 11 days: the system cannot wait 25 days at once."""
MAX_SHOWN = 60
"""The maximum number of a value's characters in an error message."""


def shown(word: str) -> str:
    """A value for an error message: shortened in the middle if it is long."""
    if len(word) <= MAX_SHOWN:
        return word
    half = MAX_SHOWN // 2
    return f"{word[:half]}...{word[-half:]} ({len(word):,} characters)"


def path(option: str, word: str | None) -> Path | None:
    """Parses a path, which need not exist, into an absolute one with `~` expanded.

    Args:
        option: The option, for the error message.
        word: The path as it was given; `None` stays `None`.

    Raises:
        UsageError: The system cannot use the path.
    """
    if word is None:
        return None
    if not word:
        raise UsageError(f"{option} '': is empty; give a path")
    try:
        absolute = Path(word).expanduser().absolute()
        absolute.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return absolute
    except OSError as error:
        raise UsageError(
            f"{option} {shown(word)}: cannot be used ({error.strerror}); give another path"
        ) from None
    except RuntimeError:  # of expanduser
        raise UsageError(
            f"{option} {shown(word)}: there is no such user; give a path without ~, or with ~/"
        ) from None
    except ValueError as error:
        raise UsageError(f"{option} {shown(word)!r}: {error}; give a path") from None
    return absolute


def is_file(path: Path) -> bool:
    """True if a path is a file; false also for a path that the system cannot use."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def whole_number(
    word: str, minimum: int, maximum: int = MAX_WHOLE_NUMBER, *, reason: str | None = None
) -> int:
    """Parses a whole number.

    Args:
        word: The number as it was given.
        minimum: The smallest number that is accepted.
        maximum: The largest number that is accepted.
        reason: The reason for the minimum, for the error message.

    Raises:
        ValueError: The word is not such a number; the message says what to give.
    """
    digits = word.lstrip("0") or "0"
    if word.isdecimal() and len(digits) > len(str(maximum)):  # int() refuses thousands of digits
        number = maximum + 1
    else:
        number = int(digits) if word.isdecimal() else minimum - 1
    if number < minimum:
        because = "" if reason is None else f"{reason}; "
        raise ValueError(f"{because}give a whole number of {minimum} or more")
    if number > maximum:
        raise ValueError(f"is too large; give a whole number of {maximum} or less")
    return number


def count(option: str, word: str, maximum: int = MAX_WHOLE_NUMBER) -> int:
    """Parses a whole number of 1 or more.

    Raises:
        UsageError: The word is not a whole number from 1 to `maximum`.
    """
    try:
        return whole_number(word, 1, maximum)
    except ValueError as error:
        raise UsageError(f"{option} {shown(word)}: {error}") from None


def positive_share(option: str, word: str | None, default: float) -> float:
    """Parses a share above 0; `None` gives the default.

    Raises:
        UsageError: The word is not a finite number above 0.
    """
    if word is None:
        return default
    number = _number(word)
    if not 0 < number < math.inf:
        raise UsageError(f"{option} {shown(word)}: give a share above 0, such as {default:g}")
    return number


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


_UNITS = {
    "": 1,
    "B": 1,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
    "KB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "TB": 1e12,
}


def size(option: str, word: str | None) -> int | None:
    """Parses a size such as `8GiB` or `500MB` into bytes; `None` stays `None`.

    Raises:
        UsageError: The word is not a size of at least one byte.
    """
    if word is None:
        return None
    digits = word.rstrip("BKMGTibkmgt")
    size = _number(digits) * _UNITS.get(word[len(digits) :].upper(), math.nan)
    if not 1 <= size < math.inf:
        raise UsageError(f"{option} {shown(word)}: give a size above 0, such as 8GiB or 500MB")
    if size > MAX_WHOLE_NUMBER:
        raise UsageError(
            f"{option} {shown(word)}: is more than any machine has; give a size such as 8GiB"
        )
    return int(size)


def share(option: str, word: str | None, default: float, minimum: float, maximum: float) -> float:
    """Parses a share such as `3%` or `0.03`; `None` gives the default.

    Raises:
        UsageError: The word is not a share from `minimum` to `maximum`.
    """
    if word is None:
        return default
    digits, percent = word.rstrip("% "), word.rstrip().endswith("%")
    number = _number(digits) / (100 if percent else 1)
    if not minimum <= number <= maximum:
        raise UsageError(
            f"{option} {shown(word)}: give a share of the step from {minimum:.0%} to "
            f"{maximum:.0%}, such as {default:.0%} or {default:g}"
        )
    return number


_DURATION = re.compile(r"(?P<number>.+?)\s*(?P<unit>s|m|min|h)?", re.DOTALL)
_UNITS_S = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def duration(
    option: str, word: str | None, default_s: float, maximum_s: float = MAX_SECONDS
) -> float:
    """Parses a duration such as `90`, `90s`, `10m` or `1h` into seconds; `None` gives the default.

    Raises:
        UsageError: The word is not a duration above 0 and up to `maximum_s`.
    """
    if word is None:
        return default_s
    match = _DURATION.fullmatch(word)
    seconds = math.nan if match is None else _number(match["number"]) * _UNITS_S[match["unit"]]
    if not 0 < seconds < math.inf:
        raise UsageError(f"{option} {shown(word)}: give a time above 0, such as 90s, 10m or 1h")
    if seconds > maximum_s:
        longest = f"{maximum_s / 3600:.0f}h" if maximum_s > 3600 else f"{maximum_s:g}s"
        raise UsageError(f"{option} {shown(word)}: is too long; give a time up to {longest}")
    return seconds


def option_name(field: str) -> str:
    """The option that sets a field, such as `--batch-size` for `batch_size`."""
    return "--" + field.replace("_", "-")
