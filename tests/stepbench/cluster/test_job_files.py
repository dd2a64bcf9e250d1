from pathlib import Path

import pytest

from stepbench.cluster.job_files import JobFiles, differing_packages
from stepbench.results.writing import StoreError
from stepbench_reports.schema.cluster import JobEnding


def test_files_of_jobs_are_told_apart_by_their_names(tmp_path: Path) -> None:
    files = JobFiles(tmp_path)
    assert files.requested() == ()
    (tmp_path / "jobs").mkdir()
    for name in ("0001.json", "0012.json", "12345.json", "0001.start.json", "0012.outcome.json",
                 "0001.log", "0003", ".0002.json.abc", "notes.json"):  # fmt: skip
        (tmp_path / "jobs" / name).touch()
    assert files.requested() == (1, 12, 12345)
    assert files.started() == {1}
    assert files.ended() == {12}


def test_a_damaged_outcome_is_none(tmp_path: Path) -> None:
    files = JobFiles(tmp_path)
    files.write_outcome(1, JobEnding.DONE)
    assert files.read_outcome(1) is not None
    (tmp_path / "jobs" / "0001.outcome.json").write_text("{")
    assert files.read_outcome(1) is None
    assert files.read_start(1) is None


def test_a_full_disk_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("in the folder's place")
    with pytest.raises(StoreError, match="cannot be written"):
        JobFiles(tmp_path).write_outcome(1, JobEnding.DONE)


@pytest.mark.parametrize(
    ("text", "line"), [("", None), ("\n \n", None), ("a\nb: c\n\n", "b: c"), ("x" * 999, "x" * 300)]
)
def test_the_last_line_of_a_job_s_output(tmp_path: Path, text: str, line: str | None) -> None:
    files = JobFiles(tmp_path)
    assert files.last_line(1) is None
    (tmp_path / "jobs").mkdir()
    files.log(1).write_text(text)
    assert files.last_line(1) == line


def test_versions_that_differ_are_named() -> None:
    wanted = {"stepbench": "1", "torch": "2.10", "numpy": "2"}
    assert differing_packages(wanted, {**wanted, "numpy": "3"}, "n1") == ""
    other = differing_packages(wanted, {"stepbench": "1", "torch": "2.9"}, "n1")
    assert "node n1 has torch 2.9 instead of 2.10, which" in other
    both = differing_packages(wanted, {"torch": "2.9"}, "n1")
    assert "stepbench is not installed instead of 1 and torch 2.9" in both
