from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbench_reports import ReportError, regression
from stepbench_reports.regression.records import faster_half, pair
from stepbench_reports.schema.phases import STEP
from support import synthetic_check as made

seconds = st.lists(st.floats(1e-4, 1.0), min_size=2, max_size=12)


def turns(base: list[float], head: list[float]) -> dict[str, object]:
    sides = ["base"] * len(base) + ["head"] * len(head)
    values = [*base, *head]
    return {
        "side": sides,
        "steps": [1] * len(sides),
        "elapsed_s": values,
        "phases_s": {"forward": [v / 4 for v in values], "backward": [3 * v / 4 for v in values]},
    }


@given(seconds, seconds)
def test_phases_add_up_to_the_step(base: list[float], head: list[float]) -> None:
    found = faster_half(turns(base, head), "head")
    assert found["forward"] + found["backward"] == pytest.approx(found[STEP])


def test_the_slower_half_does_not_count() -> None:
    assert faster_half(turns([1.0, 2.0, 50.0, 90.0], [1.0]), "base")[STEP] == 1.5


def test_seconds_are_per_step() -> None:
    given_turns = {
        "side": ["base", "head"], "steps": [10, 5], "elapsed_s": [1.0, 1.0], "phases_s": {},
    }  # fmt: skip
    assert faster_half(given_turns, "base")[STEP] == pytest.approx(0.1)
    assert faster_half(given_turns, "head")[STEP] == pytest.approx(0.2)


@given(seconds, seconds)
def test_swapping_the_sides_changes_the_sign_alone(base: list[float], head: list[float]) -> None:
    def changes(one: list[float], other: list[float]) -> dict[str, float]:
        told = {**made.entry(1), "turns": turns(one, other)}
        return pair(told).changes

    there, back = changes(base, head), changes(head, base)
    assert there == pytest.approx({row: -change for row, change in back.items()})


def test_a_change_is_a_share_of_the_step() -> None:
    found = pair(made.entry(1, {"forward": 0.10})).changes
    assert found["forward"] == pytest.approx(0.10 / 1.1**0.5)
    assert found[STEP] == pytest.approx(found["forward"])
    assert found["backward"] == 0


def test_a_line_that_a_kill_cut_off_is_passed_over(tmp_path: Path) -> None:
    made.write(tmp_path, made.entries(3))
    with (tmp_path / "pairs.jsonl").open("a") as file:
        file.write('{"case": "conv')
    assert len(regression.load(tmp_path).pairs) == 3


def test_pairs_that_failed_are_told_apart(tmp_path: Path) -> None:
    failed = {"side": "head", "reason": "it raised ValueError: x", "detail": None}
    lines = [{"case": made.CASE, "round": 1, "stage": "screen", "failed": failed}]
    check = made.write(tmp_path, [*lines, *made.entries(2)])
    assert [each.side for each in check.failures] == ["head"]
    assert len(check.pairs) == 2


def test_a_directory_without_a_check_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"holds no check .* stepbench regression"):
        regression.load(tmp_path)
    (tmp_path / "check.json").write_text('{"schema": 7}')
    with pytest.raises(ReportError, match="schema 7"):
        regression.load(tmp_path)
