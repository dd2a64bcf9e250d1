"""A whole run that is spread over two pretended nodes; `tests/cluster` has real engines."""

import json
from pathlib import Path
from typing import Any

import stepbench_reports


def test_a_matrix_is_spread_over_processes_and_reported(
    bench: Any, tiny: Any, tmp_path: Path
) -> None:
    tiny()
    done = bench(
        "--workload", "tiny.py:make", "--device", "cpu", "--batch-size", "4", "8",
        "--num-workers", "0", "--compile", "off", "--steps", "3", "--parity-steps", "1",
        "--on", "local", "--on-option", "nodes=2", "--output", "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 cases on local, 2 nodes: local-1, local-2" in done.stdout
    assert "[2/2] job " in done.stdout
    out = tmp_path / "out"
    run = stepbench_reports.load(out)
    assert {(m.id, m.status, m.host) for m in run.measurements} == {
        ("tiny-cpu-b4-w0-off-fp32", "ok", "local-1"),
        ("tiny-cpu-b8-w0-off-fp32", "ok", "local-2"),
    }
    assert [m.host for m in run.repeats] == ["local-2"]
    assert all(host.machine_peaks["cpu"].threads for host in run.hosts)
    assert run.ratio_of(run.measured[1], run.measured[0]).paired
    report = (out / "report.md").read_text()
    assert "| case | host |" in report
    assert "Hosts" in report
    judged = [json.loads(file.read_text()) for file in (out / "parity").iterdir()]
    assert [each["judgement"]["verdict"] for each in judged] == ["pass", "pass"]
    assert json.loads((out / "benchmark.json").read_text())["benchmarks"]
    assert not [*(out / "jobs").glob("*/"), *out.glob("compile-cache")]
