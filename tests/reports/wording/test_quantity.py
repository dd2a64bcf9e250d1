import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stepbench_reports.analysis.stats import Interval, point
from stepbench_reports.wording import quantity

NAN = math.nan
figures = st.floats(1e-6, 1e9)
widths = st.floats(1e-7, 1e9)


@pytest.mark.parametrize(
    ("value", "half_width", "text"),
    [
        (53.12, 0.4, "53.1"),
        (53.12, 0.9, "53"),
        (53.12, 4.0, "53"),
        (53.12, 6.0, "50"),
        (2.1517, 0.043, "2.15"),
        (2.1517, 0.0, "2.152"),
        (2.1517, NAN, "2.2"),
        (10412, 90, "10,400"),
        (10412, 40, "10,410"),
        (9.9996, 0.0, "10.00"),
        (0.000123, 0.00002, "0.00012"),
        (5.0, 1000.0, "5"),
        (0.0, 0.0, "0"),
        (NAN, 1.0, ""),
        (math.inf, 1.0, ""),
    ],
)
def test_a_figure_has_the_digits_that_its_interval_supports(
    value: float, half_width: float, text: str
) -> None:
    assert quantity.number(value, half_width) == text


@given(figures, widths)
def test_rounding_errors_do_not_exceed_the_half_width(value: float, half_width: float) -> None:
    digit = quantity.last_digit(value, half_width)
    error = abs(float(quantity.number(value, half_width).replace(",", "")) - value)
    assert error <= 10.0**digit / 2 * (1 + 1e-9)
    four_digits = 10.0 ** (math.floor(math.log10(value)) - 3)
    assert error <= max(half_width, four_digits) * (1 + 1e-9)


@given(figures, widths)
def test_the_half_width_is_at_most_five_units_of_the_last_digit(
    value: float, half_width: float
) -> None:
    digit = quantity.last_digit(value, half_width)
    leading = math.floor(math.log10(float(f"{value:.3e}")) + 1e-12)
    assume(digit < leading)  # the leading digit is always shown
    assert half_width <= 5 * 10.0**digit * (1 + 1e-9)


@given(figures, st.floats(0, 1e9))
def test_no_figure_has_more_than_four_digits(value: float, half_width: float) -> None:
    text = quantity.number(value, half_width).replace(",", "")
    assert len(text.replace(".", "").strip("0")) <= 4


def test_one_unit_for_durations() -> None:
    assert quantity.milliseconds(Interval(0.0005, 0.000499, 0.000501)) == "0.500"
    assert quantity.milliseconds(Interval(12.5, 12.4, 12.6)) == "12,500"
    assert quantity.milliseconds(Interval(0.0005, NAN, NAN)) == "0.50"


@pytest.mark.parametrize(
    ("rate", "text"),
    [(10412, "10,400"), (1938.4, "1,940"), (12.345, "12.3"), (0.01234, "0.0123"), (NAN, "")],
)
def test_samples_per_second_have_three_digits(rate: float, text: str) -> None:
    assert quantity.rate(point(rate)) == text


def test_samples_per_second_have_no_more_digits_than_their_interval_supports() -> None:
    assert quantity.rate(Interval(1938.4, 1938.3, 1938.5)) == "1,940"
    assert quantity.rate(Interval(1938.4, 1800, 2080)) == "1,900"
    assert quantity.rate(Interval(1938.4, 1000, 2900)) == "2,000"


@given(figures)
def test_thousand_millions_have_three_digits(per_second: float) -> None:
    assert quantity.giga(per_second * 1e9) == quantity.rate(point(per_second))
    assert quantity.giga(NAN) == quantity.giga(0.0) == ""


def test_ratios() -> None:
    assert quantity.times(Interval(1.2345, 1.20, 1.27)) == "1.23×"
    assert quantity.times(Interval(1.2345, 1.2344, 1.2346)) == "1.23×"
    assert quantity.times(Interval(1.2345, 0.9, 1.5)) == "1.2×"
    assert quantity.times(Interval(12.345, 12.3, 12.4)) == "12.3×"
    assert quantity.times(Interval(1.2345, NAN, NAN)) == "1.2×"
    assert quantity.times(Interval(NAN, NAN, NAN)) == ""
    assert quantity.times_range(Interval(1.2345, 1.204, 1.266)) == "1.23× (1.20–1.27)"
    assert quantity.times_range(Interval(1.2345, NAN, NAN)) == "1.2×"


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (Interval(1.2345, 1.2059, 1.2631), "1.23× (1.20–1.27)"),
        (Interval(1.25, 1.25, 1.25), "1.25× (1.25–1.25)"),
        (Interval(1.1, 1.1 - 1e-16, 1.1 + 3e-16), "1.10× (1.10–1.10)"),  # not 1.11
        (Interval(1.25, 1.2499, 1.2501), "1.25× (1.24–1.26)"),
        (Interval(1.0301, 1.0041, 1.0561), "1.03× (1.00–1.06)"),
        (Interval(1.2345, 0.91, 1.53), "1.2× (0.9–1.6)"),
        (Interval(1.6, 0.6, 3.1), "2× (0–4)"),
        (Interval(12.345, 12.31, 12.39), "12.3× (12.3–12.4)"),
        (Interval(123.0, 61.0, 184.0), "100× (0–200)"),
        (Interval(1234.5, 1230.0, 1239.0), "1,230× (1,230–1,240)"),
        (Interval(0.0123, 0.0121, 0.0126), "0.01× (0.01–0.02)"),
    ],
)
def test_a_ratio_s_interval_has_its_digits_and_is_rounded_outward(
    ratio: Interval, text: str
) -> None:
    assert quantity.times_range(ratio) == text


@given(st.floats(0.01, 1e4), st.floats(1, 4), st.floats(1, 4))
def test_a_shown_interval_holds_the_interval_and_the_ratio(
    value: float, below: float, above: float
) -> None:
    ratio = Interval(value, value / below, value * above)
    assume(not quantity.is_vague(ratio))
    text = quantity.times_range(ratio).replace(",", "")
    shown, _, interval = text.partition("× (")
    low, _, high = interval.rstrip(")").partition("–")
    slack = 1 + 1e-9
    assert float(low) <= ratio.low * slack
    assert float(high) * slack >= ratio.high
    assert float(low) <= float(shown) <= float(high)
    decimals = {len(number.partition(".")[2]) for number in (shown, low, high)}
    assert len(decimals) == 1
    unit = 10.0 ** quantity.last_digit(value, max(ratio.half_width, 0.01), 3)
    assert ratio.low - float(low) <= unit * slack
    assert float(high) - ratio.high <= unit * slack


def test_percents() -> None:
    shares = [0, 0.004, 0.005, 0.243, 1, NAN]
    assert [quantity.percent(s) for s in shares] == ["0 %", "<1 %", "0 %", "24 %", "100 %", ""]
    widths = [0, 0.0004, 0.0123, 0.0994, 0.0996, 0.5, NAN]
    assert [quantity.uncertainty(d) for d in widths] == [
        "<0.1 %", "<0.1 %", "1.2 %", "9.9 %", "10 %", "50 %", "",
    ]  # fmt: skip
    assert [quantity.exact_percent(a) for a in (0.01, 0.005, NAN)] == ["1 %", "0.5 %", ""]


def test_seconds_and_sizes() -> None:
    durations = [0.0141, 0.06, 8.2, 17.592, 123.4, NAN]
    assert [quantity.seconds(d) for d in durations] == [
        "0.014 s", "0.060 s", "8.20 s", "17.6 s", "123 s", "",
    ]  # fmt: skip
    assert quantity.mebibytes(335134720) == "320"
    assert quantity.mebibytes(NAN) == ""


def test_a_column_s_decimal_points_are_aligned() -> None:
    assert quantity.aligned(["1.25", "12", "", "0.5"]) == ["1.25", "12   ", "   ", "0.5 "]
    assert quantity.aligned([]) == []


@pytest.mark.parametrize(
    ("ratio", "vague"),
    [
        (Interval(0.77, 0.015, 39), True),
        (Interval(1.0, 0.4, 2.3), False),
        (Interval(10, 4, 25), False),  # at least four times as fast
        (Interval(0.1, 0.04, 0.35), False),
        (Interval(1.2, NAN, NAN), False),
    ],
)
def test_a_ratio_whose_interval_says_nothing_is_a_dash(ratio: Interval, vague: bool) -> None:
    assert quantity.is_vague(ratio) is vague
    for text in (quantity.times(ratio), quantity.times_range(ratio)):
        assert (text == quantity.DASH) is vague


def test_a_half_width_larger_than_the_figure_is_no_percentage() -> None:
    assert [quantity.uncertainty(width) for width in (0.12, 1.0, 1.01, 88.04)] == [
        "12 %", "100 %", "–", "–",
    ]  # fmt: skip
    assert quantity.plus_minus(0.12) == "±12 %"
    assert quantity.plus_minus(88.04) == "more than ±100 %"
    assert quantity.fine_percent(1.04) == "104 %"


def test_the_ends_of_an_interval_are_rounded_outward() -> None:
    assert quantity.span(Interval(1.25, 1.2359, 1.2631)) == "1.23–1.27"
    assert quantity.span(Interval(1.25, 1.2, 1.3)) == "1.2–1.3"
    assert quantity.span(point(1.25)) == ""
    assert quantity.percent_change(Interval(0.0481, 0.0411, 0.0559)) == "+4.8 % (+4.1 to +5.6)"
    assert quantity.percent_change(Interval(-0.001, -0.0111, 0.0)) == "-0.1 % (-1.2 to +0.0)"
    assert quantity.percent_change(point(0.1)) == "+10.0 %"
    assert quantity.percent_change(point(NAN)) == ""
