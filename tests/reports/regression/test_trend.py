from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from stepbench_reports import regression
from stepbench_reports.commands import trend as command
from stepbench_reports.errors import ReportError
from stepbench_reports.regression import trend
from stepbench_reports.schema.check import PairLine, SideFacts
from support import synthetic_check as made

SLOWED = [
    *made.entries(6, 0.05),
    *made.entries(24, 0.05, first=7, stage="confirm"),
]


def check(path: Path, day: int, pairs: list[PairLine], **more: Any) -> Path:
    """The directory of a check that has ended."""
    sides = {
        "base": SideFacts(commit="0" * 40, described="main"),
        "head": SideFacts(commit=f"{day}" * 40, described=f"commit {day}"),
    }
    started = f"2026-11-{day:02}T09:30:00+00:00"
    made.write(path, pairs, sides=sides, started=started, **more)
    regression.write(path)
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two checks and a link to one of them."""
    both = (made.CASE, made.OTHER)
    check(tmp_path / "b", 7, SLOWED)
    check(tmp_path / "a", 9, [*made.entries(6), *made.entries(3, case=made.OTHER)], cases=both)
    (tmp_path / "latest").symlink_to("a")
    return tmp_path


def test_checks_come_from_the_oldest_on(results: Path) -> None:
    checks = trend.load([results])
    assert [past.day for past in checks] == ["2026-11-07", "2026-11-09"]
    assert checks == trend.load([results / "a", results / "b"])


def test_a_check_that_was_killed_is_left_out(results: Path) -> None:
    made.write(results / "killed", made.entries(2))
    assert len(trend.load([results])) == 2
    with pytest.raises(ReportError, match=r"has no verdict\.json"):
        trend.load([results / "killed"])


def test_each_case_has_a_row_for_each_check_in_80_columns(results: Path) -> None:
    lines = list(trend.lines(trend.load([results])))
    first = lines.index(made.CASE)
    assert lines[first + 1].startswith("  2026-11-07  777777777  +4.")
    assert lines[first + 1].endswith("  slower")
    assert lines[first + 2].endswith("  pass")
    assert lines[lines.index(made.OTHER) + 1].endswith("  not decided")
    assert max(map(len, lines)) <= 80


def test_the_figure_has_a_series_for_each_case(results: Path) -> None:
    figure = trend.drawing(trend.load([results])).figure
    _, labels = figure.axes[0].get_legend_handles_labels()
    assert labels[:2] == [made.CASE, made.OTHER]


def test_the_command_prints_and_draws(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "trend.svg"
    assert command([str(results), "--output", str(output)]) == 0
    assert f"wrote {output}" in capsys.readouterr().out
    assert ET.parse(output).getroot() is not None  # noqa: S314  # our own


def test_what_is_no_check_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command([str(tmp_path)]) == 4
    assert "holds no check" in capsys.readouterr().err
    made.write(tmp_path / "check", made.entries(6))
    with pytest.raises(ReportError, match=r"has no verdict.json; write it with stepbench report"):
        trend.load([tmp_path])


def test_a_figure_that_cannot_be_written_names_the_option(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "file").touch()
    assert command([str(results), "--output", str(results / "file" / "trend.svg")]) == 4
    assert "--output" in capsys.readouterr().err
