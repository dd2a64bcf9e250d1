"""Figures as text: one unit down a column, and no more digits than the interval supports."""

import math

from stepbench_reports.analysis.stats import Interval


def micro(seconds: float) -> str:
    """A duration in microseconds, without the unit; nothing for none."""
    if not math.isfinite(seconds) or seconds == 0:
        return NOTHING
    return f"{seconds * 1e6:,.0f}" if seconds >= 1e-5 else f"{seconds * 1e6:.1f}"


MOST_DIGITS = 4
"""Significant digits, at most."""
MOST_DOUBT = 5
"""By how much the last digit may be in doubt, at most."""
DIGITS_UNKNOWN = 2
"""Significant digits of a figure that has no interval, because its samples are too few."""
DIGITS_RATE = 3
"""Significant digits of samples/s, at most; they are as many for a total that has no interval."""
NOTHING = ""
"""What stands for a figure that was not measured."""
TIMES = "\N{MULTIPLICATION SIGN}"
DASH = "\N{EN DASH}"
"""Between the ends of a range, and for what others are compared with."""


def place(value: float, half_width: float, most: int = MOST_DIGITS) -> int:
    """The power of ten of the last digit worth showing.

    It is the finest place that is in doubt by five at most: 53.12 ± 0.4 is shown to tenths, as
    53.1, and 53.12 ± 0.9 to units, as 53. So rounding never takes away more than the interval
    leaves open. The leading digit is always shown, and never more than `most` digits are.

    Args:
        value: A finite figure.
        half_width: Half its interval's width, in the same unit; NaN where there is none.
        most: Significant digits, at most.
    """
    if value == 0:
        return 0
    leading = _leading(value, most)
    finest = leading - most + 1
    if math.isnan(half_width):
        return max(leading - DIGITS_UNKNOWN + 1, finest)
    if half_width <= 0:
        return finest
    return min(max(math.ceil(math.log10(half_width) - math.log10(MOST_DOUBT)), finest), leading)


def _leading(value: float, digits: int) -> int:
    """The power of ten of the first digit, once rounded to so many digits: 1 for 9.9996."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def number(value: float, half_width: float = math.nan, most: int = MOST_DIGITS) -> str:
    """A figure with the digits that its interval supports; nothing for NaN.

    Args:
        value: The figure.
        half_width: Half its interval's width, in the same unit; NaN where there is none.
        most: Significant digits, at most.
    """
    if not math.isfinite(value):
        return NOTHING
    decimals = -place(value, half_width, most)
    return f"{round(value, decimals):,.{max(decimals, 0)}f}"


def milliseconds(seconds: Interval) -> str:
    """A duration in milliseconds, without the unit: it stands in the column's head."""
    return number(seconds.value * 1e3, seconds.half_width * 1e3)


def rate(samples_per_s: Interval) -> str:
    """Samples/s with the digits that its interval supports, three at most, without the unit."""
    value, half_width = samples_per_s.value, samples_per_s.half_width
    if not math.isfinite(value) or value <= 0:
        return NOTHING
    if math.isnan(half_width):
        half_width = 10.0 ** (_leading(value, DIGITS_RATE) - DIGITS_RATE + 1)
    return number(value, half_width, DIGITS_RATE)


def times(ratio: Interval) -> str:
    """A ratio with its sign; three digits and hundredths at most."""
    half_width = ratio.half_width if math.isnan(ratio.half_width) else max(ratio.half_width, 0.01)
    text = number(ratio.value, half_width, 3)
    return f"{text}{TIMES}" if text else NOTHING


def times_range(ratio: Interval) -> str:
    """A ratio with its sign and, in brackets, its interval, where it has one."""
    if math.isnan(ratio.low) or math.isnan(ratio.high):
        return times(ratio)
    decimals = max(0, -place(ratio.value, max(ratio.half_width, 0.01), 3))
    return f"{times(ratio)} ({ratio.low:.{decimals}f}{DASH}{ratio.high:.{decimals}f})"


def percent(share: float) -> str:
    """A share of a whole, in whole percents: `24 %`, `<1 %`."""
    if not math.isfinite(share):
        return NOTHING
    if 0 < share < 0.005:
        return "<1 %"
    return f"{share * 100:.0f} %"


def uncertainty(relative: float) -> str:
    """A relative half width in percents: `0.9 %`, `12 %`."""
    if not math.isfinite(relative):
        return NOTHING
    if relative < 0.0005:
        return "<0.1 %"
    return f"{relative * 100:.1f} %" if relative < 0.0995 else f"{relative * 100:.0f} %"


def asked(relative: float) -> str:
    """A relative error as it was asked for, in percents: `1 %`, `0.5 %`."""
    return f"{relative * 100:g} %" if math.isfinite(relative) else NOTHING


def seconds(duration_s: float) -> str:
    """A duration of something that happens once, in seconds with three digits."""
    if not math.isfinite(duration_s):
        return NOTHING
    return f"{number(duration_s, max(duration_s * 0.001, 0.001), 3)} s"


def mebibytes(size_bytes: float) -> str:
    """A size in whole MiB, without the unit."""
    return f"{size_bytes / 2**20:,.0f}" if math.isfinite(size_bytes) else NOTHING


def mebibytes_fine(size_bytes: float) -> str:
    """A size in MiB to two digits, without the unit; nothing for none."""
    return number(size_bytes / 2**20, most=3) if size_bytes > 0 else NOTHING


def giga(per_second: float) -> str:
    """A rate in thousand millions, to three digits, without the unit."""
    billions = per_second / 1e9
    if not math.isfinite(billions) or billions <= 0:
        return NOTHING
    return number(billions, 10.0 ** (_leading(billions, 3) - 2), 3)


def aligned(column: list[str]) -> list[str]:
    """Figures of one column, padded on the right so that their decimal points stand in line."""
    tails = [len(text) - text.find(".") if "." in text else 0 for text in column]
    return [
        text + " " * (max(tails, default=0) - tail)
        for text, tail in zip(column, tails, strict=True)
    ]
