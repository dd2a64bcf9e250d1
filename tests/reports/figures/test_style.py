import math

from stepbench_reports.analysis.stats import UNKNOWN, Interval
from stepbench_reports.figures.style import whiskers


def test_error_bars_reach_the_ends_of_intervals_that_say_something() -> None:
    below, above = whiskers([Interval(10.0, 8.0, 13.0), Interval(1.0, 0.4, 2.2)])
    assert below == [2.0, 0.6]
    assert above == [3.0, 1.2000000000000002]


def test_an_interval_for_which_a_table_has_a_dash_has_no_error_bar() -> None:
    useless = Interval(10.0, 1e-3, 7e10)
    endless = Interval(10.0, 0.0, math.inf)
    assert whiskers([UNKNOWN, useless, endless]) == [[0.0] * 3] * 2
