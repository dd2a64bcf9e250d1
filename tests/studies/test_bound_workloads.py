"""Workloads that are each bound by one thing are found to be, in a real run."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import reports

WORKLOADS = Path(__file__).resolve().parents[2] / "docs" / "studies" / "bound_workloads.py"
BOUNDS = {
    "data": "data",
    "compute": "compute",
    "launch": "launch overhead",
    "optimizer": "optimizer",
}


@pytest.mark.alone
def test_what_bounds_a_step_is_found(
    bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    place = tmp_path / "run"
    done = bench(
        "--workload", *(f"{WORKLOADS}:{name}" for name in BOUNDS), "--batch-size", "32",
        "--num-workers", "0", "--compile", "off", "--device", "cpu", "--max-time", "1",
        # One thread leaves a core to whoever else is at work here.
        "--threads", "1", "--output", str(place),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    run = reports.load(place)
    if any(each.fact("fixed", "forward_s") is None for each in run.measurements):
        pytest.skip("other processes kept this machine busy: the fixed cost could not be had")
    cases = run.cases.set_index("workload")
    assert {name: cases["bound"][f"{WORKLOADS}:{name}"] for name in BOUNDS} == BOUNDS
    assert (cases["best_step_s"] < 32 / cases["samples_per_s"]).all()
    report = (place / "report.md").read_text()
    assert all(f"bound by {bound}" in report for bound in BOUNDS.values())
