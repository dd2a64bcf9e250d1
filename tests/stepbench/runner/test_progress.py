import io
from typing import Any

import pytest
from rich.console import Console

from stepbench.config.case import Case
from stepbench.process.job import Outcome
from stepbench.runner import outcomes, progress
from stepbench.runner.progress import Progress
from stepbench_reports.schema.status import Status
from support.fake_players import Stage

CASES = [Case(workload="net", batch_size=size) for size in (1, 2, 4)]


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setattr(progress, "time", made)
    return made


def measured(case: Case, elapsed_s: float) -> Any:
    return outcomes.case_measurement(case, Outcome(Status.CRASHED, elapsed_s=elapsed_s))


def shown() -> Progress:
    made = Progress(Console(file=io.StringIO()), 0, 20.0)
    made.expect(CASES)
    return made


def test_before_the_first_generation_the_time_is_guessed() -> None:
    made = shown()
    guess_s = 20.0 + progress.OVERHEAD_GUESS_S
    assert made.left_s() == 3 * guess_s
    with made.measuring(CASES[:2]):
        assert made.left_s() == 3 * guess_s


def test_after_a_generation_the_group_s_time_left_follows_from_its_duration(time: Stage) -> None:
    made = shown()
    guess_s = 20.0 + progress.OVERHEAD_GUESS_S
    with made.measuring(CASES[:2]):
        made.add_generation(10.0, 5)
        assert made.left_s() == 50.0 + guess_s
        time.now_s += 4.0
        assert made.left_s() == 46.0 + guess_s
        time.now_s += 100.0
        assert made.left_s() == guess_s
        made.add_generation(12.0, 1)
        assert made.left_s() == 12.0 + guess_s
    assert made.left_s() == 3 * guess_s  # none has been measured


def test_the_cases_of_other_groups_take_as_long_as_those_that_are_finished() -> None:
    made = shown()
    with made.measuring(CASES[:2]):
        made.add_generation(10.0, 0)
        for case in CASES[:2]:
            made.add_measurement(case, measured(case, 7.0))
    assert made.left_s() == 7.0


def test_the_line_says_how_many_cases_are_measured() -> None:
    output = io.StringIO()
    made = Progress(Console(file=output, force_terminal=True, width=100), 0, 20.0)
    made.expect(CASES)
    with made.measuring(CASES):
        made.show_activity("generation 1 of 6: round 2")
    with made.measuring(CASES[:1]):
        made.show_activity("warming up")
    assert "3 cases" in output.getvalue()
    assert "generation 1 of 6: round 2" in output.getvalue()
    assert "1 case\x1b" in output.getvalue()
