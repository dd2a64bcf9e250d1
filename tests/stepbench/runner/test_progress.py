import io
import itertools
from typing import Any

import pytest
from rich.console import Console

from stepbench.config.case import Case
from stepbench.process.job import Outcome
from stepbench.runner import outcomes, progress
from stepbench.runner.expected_time import COMPILE_GUESS_S
from stepbench.runner.progress import LATER_GENERATIONS, GenerationDone, Progress, Task
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
    made = Progress(Console(file=io.StringIO()), 0, 22.0)
    made.expect(CASES)
    return made


def test_before_the_first_generation_the_time_is_guessed() -> None:
    made = shown()
    assert made.left_s() == 3 * 22.0
    with made.measuring(CASES[:2]):
        assert made.left_s() == 3 * 22.0


def test_compilations_to_come_are_part_of_the_time_left(time: Stage) -> None:
    made = Progress(Console(file=io.StringIO()), 0, 22.0)
    made.expect(CASES, compilations=2)
    assert made.left_s() == 3 * 22.0 + 2 * COMPILE_GUESS_S
    with made.measuring(CASES):
        time.now_s += 30.0
        assert made.left_s() == 3 * 22.0 + 2 * COMPILE_GUESS_S - 30.0
        made.add_compilation()
        assert made.left_s() == 3 * 22.0 + 30.0
        time.now_s += 30.0
        made.add_compilation()
        assert made.left_s() == 3 * 22.0


def test_the_time_left_always_shrinks_within_a_group(time: Stage) -> None:
    made = shown()
    with made.measuring(CASES):
        shrinking = [made.left_s()]
        for _ in range(100):
            time.now_s += 2.0
            shrinking.append(made.left_s())
        made.add_generation(done(10.0, 0, 5))
        assert made.left_s() == 50.0 * LATER_GENERATIONS
    assert all(after < before for before, after in itertools.pairwise(shrinking))
    assert shrinking[-1] > 0


def done(elapsed_s: float, number: int, left: int, waiting: int = 0) -> GenerationDone:
    return GenerationDone(elapsed_s, number, left, players=2, waiting=waiting)


def test_after_a_generation_the_group_s_time_left_follows_from_its_duration(time: Stage) -> None:
    made = shown()
    with made.measuring(CASES[:2]):
        made.add_generation(done(10.0, 0, 5))
        assert made.left_s() == 50.0 * LATER_GENERATIONS + 22.0
        made.add_generation(done(8.0, 1, 4))
        assert made.left_s() == 32.0 + 22.0
        time.now_s += 4.0
        assert made.left_s() == 28.0 + 22.0
        time.now_s += 100.0
        assert 22.0 < made.left_s() < 28.0
        made.add_generation(done(12.0, 4, 1))
        assert made.left_s() == 12.0 + 22.0


def test_cases_that_wait_for_a_later_group_take_as_long_there() -> None:
    made = shown()
    with made.measuring(CASES):
        made.add_generation(done(8.0, 1, 4, waiting=1))
        # Four generations of two players, and six of one that takes half as long.
        assert made.left_s() == 4 * 8.0 + 6 * 4.0


def test_the_cases_of_other_groups_take_as_long_as_those_that_are_finished() -> None:
    made = shown()
    with made.measuring(CASES[:2]):
        made.add_generation(done(10.0, 5, 0))
        for case in CASES[:2]:
            made.add_measurement(case, measured(case, 7.0))
    assert made.left_s() == 7.0


def test_tasks_to_come_are_part_of_the_time_left(time: Stage) -> None:
    output = io.StringIO()
    made = Progress(Console(file=output, width=200), 0, 22.0)
    made.expect(CASES[:1], {Task.PARITY: CASES, Task.TRAINING_PARITY: CASES[:2]})
    made.expect_each(Task.TRAINING_PARITY, 100.0)
    with made.measuring(CASES[:1]):
        made.add_generation(done(4.0, 3, 1))
        task_s = progress.TASK_GENERATIONS * 2.0
        assert made.left_s() == 4.0 + 3 * task_s + 200.0
        made.add_generation(done(4.0, 4, 0))
        made.add_measurement(CASES[0], measured(CASES[0], 7.0))
    assert f"(7.0 s, about {round((3 * task_s + 200) / 60)} min left)" in output.getvalue()
    with made.running(CASES[0], Task.PARITY, CASES[0]):
        time.now_s += 5.0
        assert 2 * task_s + 200.0 < made.left_s() < 3 * task_s + 200.0
        time.now_s += 5.0  # longer than expected, which does not shorten the others
        assert 2 * task_s + 200.0 < made.left_s() < 2 * task_s + 202.0
    assert made.left_s() == 2 * 10.0 + 200.0


def test_a_task_that_took_its_time_before_takes_none(time: Stage) -> None:
    made = shown()
    made.expect([], {Task.PARITY: CASES[:2]})
    with made.running(CASES[0], Task.PARITY, CASES[0]):
        time.now_s += 10.0
    with made.running(CASES[2], Task.PARITY, CASES[0]):
        time.now_s += 0.01
    assert made.left_s() == 10.0


def test_the_line_says_how_many_cases_are_measured() -> None:
    output = io.StringIO()
    made = Progress(Console(file=output, force_terminal=True, width=100), 0, 22.0)
    made.expect(CASES)
    with made.measuring(CASES):
        made.show_activity("generation 1 of 6: round 2")
    with made.measuring(CASES[:1]):
        made.show_activity("warming up")
    assert "3 cases" in output.getvalue()
    assert "generation 1 of 6: round 2" in output.getvalue()
    assert "1 case\x1b" in output.getvalue()


def test_the_cases_of_a_group_end_together_and_say_the_time_left_once() -> None:
    output = io.StringIO()
    made = Progress(Console(file=output, width=200), 0, 22.0)
    made.expect(CASES, {Task.PARITY: CASES})
    with made.measuring(CASES):
        made.add_generation(done(4.0, 5, 0))
        for case in CASES:
            made.add_measurement(case, measured(case, 7.0))
    first, *others = output.getvalue().splitlines()
    assert "left)" in first
    assert all("(7.0 s)" in line for line in others)
