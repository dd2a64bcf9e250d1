import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from stepbench_reports import ReportError, regression
from stepbench_reports.regression.records import faster_half, pair
from stepbench_reports.schema.check import SCHEMA, SideName, TurnSeries
from stepbench_reports.schema.phases import STEP
from support import synthetic_check as made

seconds = st.lists(st.floats(1e-4, 1.0), min_size=2, max_size=12)


def turns(base: list[float], head: list[float]) -> TurnSeries:
    sides: list[SideName] = ["base" for _ in base]
    sides += ["head" for _ in head]
    values = [*base, *head]
    return TurnSeries(
        side=tuple(sides),
        steps=(1,) * len(sides),
        elapsed_s=tuple(values),
        phases_s={
            "forward": tuple(v / 4 for v in values),
            "backward": tuple(3 * v / 4 for v in values),
        },
        **made.quiet(len(sides)),
    )


@given(seconds, seconds)
def test_phases_add_up_to_the_step(base: list[float], head: list[float]) -> None:
    means = faster_half(turns(base, head), "head")
    assert means["forward"] + means["backward"] == pytest.approx(means[STEP])


def test_the_slower_half_does_not_count() -> None:
    assert faster_half(turns([1.0, 2.0, 50.0, 90.0], [1.0]), "base")[STEP] == 1.5


def test_seconds_are_per_step() -> None:
    given_turns = TurnSeries(
        side=("base", "head"), steps=(10, 5), elapsed_s=(1.0, 1.0), **made.quiet(2)
    )
    assert faster_half(given_turns, "base")[STEP] == pytest.approx(0.1)
    assert faster_half(given_turns, "head")[STEP] == pytest.approx(0.2)


@given(seconds, seconds)
def test_swapping_the_sides_changes_the_sign_alone(base: list[float], head: list[float]) -> None:
    def changes(one: list[float], other: list[float]) -> dict[str, float]:
        return pair(replace(made.entry(1), turns=turns(one, other))).changes

    swapped = changes(head, base)
    assert changes(base, head) == pytest.approx({row: -c for row, c in swapped.items()})


def test_a_change_is_a_share_of_the_step() -> None:
    changes = pair(made.entry(1, {"forward": 0.10})).changes
    assert changes["forward"] == pytest.approx(0.10 / 1.1**0.5)
    assert changes[STEP] == pytest.approx(changes["forward"])
    assert changes["backward"] == 0


def test_a_line_that_a_kill_cut_off_is_skipped(tmp_path: Path) -> None:
    made.write(tmp_path, made.entries(3))
    with (tmp_path / "pairs.jsonl").open("a") as file:
        file.write('{"case": "conv')
    check = regression.load(tmp_path)
    assert len(check.pairs) == 3
    assert check.problems == ()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"case": "conv\n', "is not valid JSON"),
        ('{"case": 3}', "case: expected `str`, got `int`"),
        ('{"case": "x", "failed": {"side": "middle"}}', "failed.side: invalid enum value"),
        ("1" * 30, "top level: "),
    ],
)
def test_other_damaged_lines_are_named(tmp_path: Path, line: str, fault: str) -> None:
    made.write(tmp_path, made.entries(3))
    with (tmp_path / "pairs.jsonl").open("a") as file:
        file.write(line)
    check = regression.load(tmp_path)
    assert len(check.pairs) == 3
    (problem,) = check.problems
    assert problem.startswith(f"pairs.jsonl, line 4: {fault}")


def test_a_directory_in_a_file_s_place_is_named(tmp_path: Path) -> None:
    made.write(tmp_path, made.entries(3))
    (tmp_path / "facts.jsonl").unlink()
    (tmp_path / "facts.jsonl").mkdir()
    (problem,) = regression.load(tmp_path).problems
    assert "facts.jsonl is a directory" in problem


def test_a_turn_that_took_no_time_is_refused(tmp_path: Path) -> None:
    made.write(tmp_path, made.entries(2))
    file = tmp_path / "pairs.jsonl"
    first, second = file.read_text().splitlines()
    zero = re.sub(r'"elapsed_s":\[[^,]*', '"elapsed_s":[0', first)
    file.write_text(f"{zero}\n{second}\n")
    check = regression.load(tmp_path)
    assert len(check.pairs) == 1
    assert "line 1: turns.elapsed_s[0]: expected `float` > 0.0" in check.problems[0]


def test_failed_pairs_are_separate(tmp_path: Path) -> None:
    failed = made.failed("head", "it raised ValueError: x")
    check = made.write(tmp_path, [failed, *made.entries(2)])
    assert check.failures == (failed,)
    assert len(check.pairs) == 2


def test_a_directory_without_a_check_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"holds no check .* stepbench regression"):
        regression.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"schema": 7, "stepbench": "9.1"}', "schema: is 7, .* with stepbench 9.1 or later$"),
        ('{"schema": 0}', f"schema: is 0, but this stepbench reads {SCHEMA}; start a new check$"),
        ('{"schema": 1', "is not valid JSON .*; start a new check$"),
        ("[" * 100_000, "top level: expected `object`.*; start a new check$"),
        (
            f'{{"schema": {SCHEMA}, "cases": ' + "[" * 100_000,
            "is nested too deeply; start a new check$",
        ),
        (f'{{"schema": {SCHEMA}, "id": 3}}', "id: expected `str`, got `int`; start a new check$"),
    ],
    ids=["newer", "older", "cut off", "an array", "deep", "another type"],
)
def test_a_specification_that_cannot_be_used_is_named(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "check.json").write_text(content)
    with pytest.raises(ReportError, match=rf"check\.json: {message}"):
        regression.load(tmp_path)


def test_a_check_that_lacks_a_side_is_damaged(tmp_path: Path) -> None:
    made.write(tmp_path)
    file = tmp_path / "check.json"
    file.write_text(file.read_text().replace('"head": {', '"tail": {'))
    with pytest.raises(ReportError, match=r"a key of sides: invalid enum value 'tail'"):
        regression.load(tmp_path)
