import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest

import stepbench_reports
from stepbench_reports.read.run import Run
from support import other_user, synthetic
from support.other_user import needs_root


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


LIMITED = """
import resource, sys
from stepbench_reports import commands
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
sys.exit(commands.report([sys.argv[1]]))
"""


def test_the_reports_that_fit_are_written_and_the_first_that_does_not_is_named(
    tmp_path: Path,
) -> None:
    path = synthetic.write_run(tmp_path / "run", synthetic.two_cases())
    done = subprocess.run(
        [sys.executable, "-B", "-c", LIMITED, str(path)],  # -B: bytecode would be cut off, too
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "reports are missing" in done.stderr
    assert "report.html: cannot be written (File too large)" in done.stderr
    assert "Traceback" not in done.stderr
    assert (path / "report.md").is_file()
    assert (path / "phases.csv").is_file()
    assert not [file for file in path.iterdir() if file.name.startswith(".")]


def test_no_cell_of_a_table_is_a_formula(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path / "run", synthetic.two_cases())
    for file in (path / "cases").iterdir():
        file.write_text(file.read_text().replace('"own"', '"=cmd|A1"'))
    stepbench_reports.write(stepbench_reports.load(path))
    cells = (path / "phases.csv").read_text().replace("\n", ",").split(",")
    assert "'=cmd|A1" in cells
    assert "=cmd|A1" not in cells


@needs_root
def test_a_run_that_cannot_be_written_is_an_error_with_a_remedy() -> None:
    with other_user.readable_directory() as directory:
        path = synthetic.write_run(directory / "run", synthetic.two_cases())
        for entry in (path, *path.rglob("*")):
            entry.chmod(0o755 if entry.is_dir() else 0o644)
        code = f"""
import sys
sys.path[:0] = {sys.path!r}
from stepbench_reports import commands
sys.exit(commands.report([{str(path)!r}]))
"""
        done = other_user.run(code, directory)
        assert done.returncode == 4, done.stderr
        assert "copy the run to a writable directory" in done.stderr
        assert "Traceback" not in done.stderr
