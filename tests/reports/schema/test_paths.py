"""Hints for a directory without a run."""

from pathlib import Path

import pytest

import stepbench_reports
from stepbench_reports.errors import ReportError
from stepbench_reports.schema.paths import nearby


def test_runs_with_similar_names_are_named(tmp_path: Path) -> None:
    for name in ("latest", "20261130-094145-b67e", "later"):
        (tmp_path / name).mkdir()
    (tmp_path / "latest/run.json").touch()
    assert nearby(tmp_path / "latst") == f"did you mean {tmp_path}/latest?"
    assert nearby(tmp_path / "other") == "give a run's directory, such as results/latest"
    with pytest.raises(ReportError, match=r"holds no run .* did you mean .*/latest\?"):
        stepbench_reports.load(tmp_path / "latst")


def test_a_directory_that_does_not_exist_has_no_runs_beside_it(tmp_path: Path) -> None:
    assert nearby(tmp_path / "none" / "run") == "give a run's directory, such as results/latest"
