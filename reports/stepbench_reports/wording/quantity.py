"""Formats figures as text, with one unit per column and only the digits the interval supports."""

import math
from collections.abc import Callable

from stepbench_reports.analysis.stats import Interval


def micro(seconds: float) -> str:
    """A duration in microseconds, without the unit; empty for 0 and for non-finite values."""
    if not math.isfinite(seconds) or seconds == 0:
        return NOTHING
    return f"{seconds * 1e6:,.0f}" if seconds >= 1e-5 else f"{seconds * 1e6:.1f}"


MAX_DIGITS = 4
"""The maximum number of significant digits."""
MAX_HALF_WIDTH = 5
"""The maximum half width of the interval, in units of the last digit shown."""
DIGITS_WITHOUT_INTERVAL = 2
"""The significant digits of a figure without an interval (it has too few samples)."""
MAX_RATE_DIGITS = 3
"""The maximum number of significant digits of samples/s, also used without an interval."""
MIN_RATIO_HALF_WIDTH = 0.01
"""The half width of a ratio's interval below which no further digits are shown."""
MAX_UNCERTAINTY = 1.0
"""The relative half width above which an interval says nothing about the figure."""
NOTHING = ""
"""The text for a figure that was not measured."""
TIMES = "\N{MULTIPLICATION SIGN}"
DASH = "\N{EN DASH}"
"""Separates the ends of a range; also stands for the reference of a comparison."""


def last_digit(value: float, half_width: float, max_digits: int = MAX_DIGITS) -> int:
    """The power of ten of the last digit to show.

    The last digit shown is the finest of which the half width is at most 5 units: 53.12 ± 0.4 is
    shown to tenths, as 53.1, and 53.12 ± 0.9 to units, as 53. The rounding error therefore does not
    exceed the half width. The leading digit is always shown, and at most `max_digits` digits are.

    Args:
        value: A finite figure.
        half_width: Half the interval's width, in the figure's unit; NaN if there is no interval.
        max_digits: The maximum number of significant digits.
    """
    if value == 0:
        return 0
    leading = _leading(value, max_digits)
    finest = leading - max_digits + 1
    if math.isnan(half_width):
        return max(leading - DIGITS_WITHOUT_INTERVAL + 1, finest)
    if half_width <= 0:
        return finest
    return min(max(math.ceil(math.log10(half_width) - math.log10(MAX_HALF_WIDTH)), finest), leading)


def _leading(value: float, digits: int) -> int:
    """The power of ten of the first digit after rounding to `digits` digits: 1 for 9.9996 and 4."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def number(value: float, half_width: float = math.nan, max_digits: int = MAX_DIGITS) -> str:
    """Formats a figure with the digits that its interval supports; empty if it is not finite.

    Args:
        value: The figure.
        half_width: Half the interval's width, in the figure's unit; NaN if there is no interval.
        max_digits: The maximum number of significant digits.
    """
    if not math.isfinite(value):
        return NOTHING
    decimals = -last_digit(value, half_width, max_digits)
    return f"{round(value, decimals):,.{max(decimals, 0)}f}"


def milliseconds(seconds: Interval) -> str:
    """A duration in milliseconds, without the unit (the column's head names it)."""
    return number(seconds.value * 1e3, seconds.half_width * 1e3)


def rate(samples_per_s: Interval) -> str:
    """Samples/s, without the unit, with the digits its interval supports, three at most."""
    value, half_width = samples_per_s.value, samples_per_s.half_width
    if not math.isfinite(value) or value <= 0:
        return NOTHING
    if math.isnan(half_width):
        half_width = 10.0 ** (_leading(value, MAX_RATE_DIGITS) - MAX_RATE_DIGITS + 1)
    return number(value, half_width, MAX_RATE_DIGITS)


def is_vague(ratio: Interval) -> bool:
    """True if a ratio's interval holds 1 and ratios so different that it says nothing."""
    return ratio.low <= 1 <= ratio.high and ratio.relative_half_width > MAX_UNCERTAINTY


def times(ratio: Interval) -> str:
    """A ratio followed by ×, with three significant digits and two decimals at most.

    A dash if the ratio `is_vague`.
    """
    if is_vague(ratio):
        return DASH
    known = not math.isnan(ratio.half_width)
    half_width = max(ratio.half_width, MIN_RATIO_HALF_WIDTH) if known else math.nan
    text = number(ratio.value, half_width, 3)
    return f"{text}{TIMES}" if text else NOTHING


def times_range(ratio: Interval) -> str:
    """A ratio followed by × and, in brackets, its interval if it has one.

    The interval has the digits of the ratio, and its ends are rounded outward. A dash if the ratio
    `is_vague`.
    """
    if not all(map(math.isfinite, (ratio.value, ratio.low, ratio.high))) or is_vague(ratio):
        return times(ratio)
    digit = last_digit(ratio.value, max(ratio.half_width, MIN_RATIO_HALF_WIDTH), 3)
    low = _outward(ratio.low, digit, math.floor)
    return f"{times(ratio)} ({low}{DASH}{_outward(ratio.high, digit, math.ceil)})"


def span(figure: Interval) -> str:
    """The interval of a figure, with the figure's digits, its ends rounded outward: `1.2–1.4`.

    Empty without an interval.
    """
    if not all(map(math.isfinite, (figure.value, figure.low, figure.high))):
        return NOTHING
    digit = last_digit(figure.value, figure.half_width)
    low = _outward(figure.low, digit, math.floor)
    return f"{low}{DASH}{_outward(figure.high, digit, math.ceil)}"


def percent_change(change: Interval) -> str:
    """A change as a share, with its interval if it has one: `+4.8 % (+4.1 to +5.6)`.

    The ends are rounded outward. Empty if the change is not finite.
    """
    if not math.isfinite(change.value):
        return NOTHING
    text = f"{change.value * 100:+z.1f} %"
    if not math.isfinite(change.half_width):
        return text
    low = _rounded_outward(change.low * 100, -1, math.floor)
    high = _rounded_outward(change.high * 100, -1, math.ceil)
    return f"{text} ({low:+z.1f} to {high:+z.1f})"


def _outward(end: float, digit: int, rounded: Callable[[float], int]) -> str:
    """An end of an interval, rounded at the power of ten `digit` by `floor` or by `ceil`."""
    return f"{_rounded_outward(end, digit, rounded):,.{max(-digit, 0)}f}"


def _rounded_outward(end: float, digit: int, rounded: Callable[[float], int]) -> float:
    units = end / 10.0**digit
    whole = round(units)
    if not math.isclose(units, whole, rel_tol=1e-12):  # else 1.10 might become 1.11
        whole = rounded(units)
    return whole * 10.0**digit


def percent(share: float) -> str:
    """A share in whole percents: `24 %`, `<1 %`."""
    if not math.isfinite(share):
        return NOTHING
    if 0 < share < 0.005:
        return "<1 %"
    return f"{share * 100:.0f} %"


def plus_minus(relative: float) -> str:
    """A relative half width with its sign: `±12 %`; without figures above `MAX_UNCERTAINTY`."""
    if relative > MAX_UNCERTAINTY:
        return f"more than ±{exact_percent(MAX_UNCERTAINTY)}"
    return f"±{uncertainty(relative)}"


def uncertainty(relative: float) -> str:
    """A relative half width: `0.9 %`, `12 %`; a dash above `MAX_UNCERTAINTY`."""
    return DASH if relative > MAX_UNCERTAINTY else fine_percent(relative)


def fine_percent(relative: float) -> str:
    """A share in percents, with two digits at most: `0.9 %`, `12 %`, `<0.1 %`."""
    if not math.isfinite(relative):
        return NOTHING
    if relative < 0.0005:
        return "<0.1 %"
    return f"{relative * 100:.1f} %" if relative < 0.0995 else f"{relative * 100:.0f} %"


def exact_percent(relative: float) -> str:
    """A requested relative error in percents, unrounded: `1 %`, `0.5 %`."""
    return f"{relative * 100:g} %" if math.isfinite(relative) else NOTHING


def seconds(duration_s: float) -> str:
    """A single duration in seconds, with the unit and three significant digits at most."""
    if not math.isfinite(duration_s):
        return NOTHING
    return f"{number(duration_s, max(duration_s * 0.001, 0.001), 3)} s"


def mebibytes(size_bytes: float) -> str:
    """A size in whole MiB, without the unit."""
    return f"{size_bytes / 2**20:,.0f}" if math.isfinite(size_bytes) else NOTHING


def mebibytes_fine(size_bytes: float) -> str:
    """A size in MiB to two significant digits, without the unit; empty unless positive."""
    return number(size_bytes / 2**20, max_digits=3) if size_bytes > 0 else NOTHING


def giga(per_second: float) -> str:
    """A rate in units of 1e9 per second, to three significant digits, without the unit."""
    billions = per_second / 1e9
    if not math.isfinite(billions) or billions <= 0:
        return NOTHING
    return number(billions, 10.0 ** (_leading(billions, 3) - 2), 3)


def aligned(column: list[str]) -> list[str]:
    """Pads a column's figures on the right so that their decimal points line up."""
    decimals = [len(text) - text.find(".") if "." in text else 0 for text in column]
    return [
        text + " " * (max(decimals, default=0) - count)
        for text, count in zip(column, decimals, strict=True)
    ]
