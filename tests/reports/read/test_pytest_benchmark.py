import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import stepbench_reports
from stepbench_reports.commands import compare, report


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """What pytest-benchmark writes of somebody else's benchmark."""
    (tmp_path / "test_theirs.py").write_text(
        "def test_theirs(benchmark):\n    benchmark.pedantic(sum, args=([1, 2],), rounds=7)\n"
    )
    file = tmp_path / "theirs.json"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"--benchmark-json={file}", "test_theirs.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        # as xdist's worker pytest-benchmark would measure nothing
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return file


def test_a_benchmark_is_a_case_and_its_rounds_are_steps(ledger: Path) -> None:
    run = stepbench_reports.load(ledger)
    (entry,) = json.loads(ledger.read_text())["benchmarks"]
    (measurement,) = run.measurements
    assert measurement.id == "test_theirs.py::test_theirs"
    assert measurement.laps["host"]["step"].tolist() == entry["stats"]["data"]
    assert measurement.step.value == pytest.approx(entry["stats"]["median"])
    assert run.cases.iloc[0]["mean_step_s"] == pytest.approx(entry["stats"]["mean"])
    assert run.cases["samples_per_s_low"].isna().all()  # rounds of one process
    assert len(run.samples) == 7


def test_the_command_shows_it_and_compares_it(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report([str(ledger)]) == 0
    assert "test_theirs" in capsys.readouterr().out
    assert compare([str(ledger), "--against", str(ledger)]) == 0
    assert "1.0×" in capsys.readouterr().out  # one process: there is no interval


def test_a_summary_alone_is_told(ledger: Path) -> None:
    content = json.loads(ledger.read_text())
    del content["benchmarks"][0]["stats"]["data"]
    ledger.write_text(json.dumps(content))
    (measurement,) = stepbench_reports.load(ledger).measurements
    assert not measurement.ok
    assert "--benchmark-save-data" in str(measurement.reason)


@pytest.mark.parametrize("text", ["no JSON", "[]", "{}", '{"benchmarks": [{"fullname": "a"}]}'])
def test_what_is_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(stepbench_reports.ReportError, match="not a file of pytest-benchmark"):
        stepbench_reports.load(tmp_path / "a.json")
