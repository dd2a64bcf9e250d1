import math
from pathlib import Path

from stepbench_reports.analysis.stats import UNKNOWN, Interval, point
from stepbench_reports.read.run_directory import load
from stepbench_reports.wording import break_even
from support import synthetic


def test_compiling_pays_off_once_the_time_saved_is_the_time_that_it_took(tmp_path: Path) -> None:
    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases()))
    eager, compiled = run.measurements
    steps = break_even.steps(run, compiled)
    assert round(steps.value) == 3800  # 7.6 s of compiling, 2 ms a step
    assert break_even.text(steps) == "3,800 steps"
    assert math.isnan(break_even.steps(run, eager).value)


def test_a_number_of_steps_in_words() -> None:
    assert break_even.text(Interval(1234, 1200, 1300)) == "1,200 steps"
    assert break_even.text(point(math.inf)) == "never"
    assert break_even.text(UNKNOWN) == ""
