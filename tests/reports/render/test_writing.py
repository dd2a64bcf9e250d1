import csv
import io

import pytest

import stepbench_reports
from stepbench_reports.read.run import Run
from support import synthetic


def test_the_csv_s_columns(believable: Run) -> None:
    text = believable.phases.to_csv(index=False)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == [
        "case", *synthetic.AXES, "phase", "clock", "n", "median_s", "low_s", "high_s", "mean_s",
        "p05_s", "p95_s", "total_s", "share", "samples_per_s", "samples_per_s_low",
        "samples_per_s_high",
    ]  # fmt: skip
    assert len(rows) == 7 * 5
    assert [row["batch_size"] for row in rows] == ["4"] * 20 + ["32"] * 15
    assert {row["samples_per_s"] == "" for row in rows if row["phase"] != "step"} == {True}


def test_reports_are_written_atomically_and_replace_older_ones(believable: Run) -> None:
    (believable.path / "report.md").write_text("older")
    paths = stepbench_reports.write(believable.path)
    names = [path.name for path in paths]
    assert {"report.html", "report.md", "phases.csv", "samples.parquet"} < set(names)
    assert "older" not in paths[names.index("report.md")].read_text(encoding="utf-8").split()
    texts = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in stepbench_reports.write(believable)] == texts
    assert not [path for path in believable.path.iterdir() if path.name.startswith(".")]


def test_a_report_that_cannot_be_written_says_what_to_do(believable: Run) -> None:
    (believable.path / "report.md").mkdir()
    with pytest.raises(
        stepbench_reports.ReportError, match=r"report.md: cannot be written \(.*\); free disk space"
    ):
        stepbench_reports.write(believable)
    assert not [path for path in believable.path.iterdir() if path.name.startswith(".")]
