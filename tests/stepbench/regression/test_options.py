from pathlib import Path
from typing import Any

import pytest

from stepbench.errors import UsageError
from stepbench.regression.options import CHECK_FLAGS, RUN_FLAGS, CheckOptions, read
from stepbench_reports.schema.check import TurnOptions


def options(tmp_path: Path, **given: Any) -> CheckOptions:
    flag_values = {f"stepbench_{name}": value for name, value in {"base": "main", **given}.items()}
    return read(flag_values, tmp_path)


def test_by_default_three_percent_are_looked_for_for_ten_minutes(tmp_path: Path) -> None:
    check_options = options(tmp_path)
    assert check_options.min_effect == 0.03
    assert check_options.budget_s == 600
    assert check_options.turns == TurnOptions()
    assert check_options.head is None


@pytest.mark.parametrize(
    ("word", "seconds"), [("90s", 90), ("10m", 600), ("1h", 3600), ("45", 45), ("1.5 min", 90)]
)
def test_a_budget_is_a_time(tmp_path: Path, word: str, seconds: float) -> None:
    assert options(tmp_path, budget=word).budget_s == seconds


@pytest.mark.parametrize(("word", "share"), [("2%", 0.02), ("0.05", 0.05), ("10 %", 0.1)])
def test_an_effect_is_a_share(tmp_path: Path, word: str, share: float) -> None:
    assert options(tmp_path, min_effect=[word]).min_effect == pytest.approx(share)


@pytest.mark.parametrize(
    ("name", "word", "message"),
    [
        ("budget", "soon", r"--budget soon: give a time above 0, such as 90s"),
        ("budget", "0m", "--budget 0m"),
        ("min_effect", ["0.1%"], r"--min-effect 0.1%: give a share of the step from 1% to 50%"),
        ("min_effect", ["much"], "--min-effect much"),
        ("min_effect", ["forward=0.1%"], r"--min-effect forward= 0.1%: give a share"),
        ("pair_time", "-1", "--pair-time -1"),
        ("base_python", "/no/python", "--base-python /no/python: is not a file"),
        ("share", ["data"], "--share data: does not exist"),
    ],
)
def test_what_cannot_be_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, word: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        options(tmp_path, **{name: word})


def test_something_to_compare_with_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--base: give what to compare with"):
        options(tmp_path, base=None)


def test_rows_can_have_their_own_effect(tmp_path: Path) -> None:
    given = options(
        tmp_path, batch_size=["4", "32"], min_effect=["2%", "forward=5%", "*-b4-*=10%", "step=4%"]
    )
    assert given.min_effect == pytest.approx(0.02)
    assert [(e.rows, e.share) for e in given.min_effects] == [
        ("forward", 0.05), ("*-b4-*", 0.1), ("step", 0.04)
    ]  # fmt: skip


def test_options_that_mean_the_same_as_in_a_run_are_borrowed() -> None:
    names = {flag.name for flag in RUN_FLAGS}
    assert {"--workload", "--batch-size", "--threads", "--output", "--resume"} <= names
    assert not names & {"--steps", "--rel-error", "--profile", "--train-parity", "--cold"}
    assert not names & {flag.name for flag in CHECK_FLAGS}
