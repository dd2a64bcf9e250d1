"""The guide's workloads of two well-known scripts, in whole runs."""

import json
from pathlib import Path
from typing import Any

from support.scripts import write_mnist, write_tokens, write_workload


def test_nanogpt_is_measured_compared_trained_and_profiled(bench: Any, tmp_path: Path) -> None:
    workload = write_workload("nanogpt", tmp_path)
    write_tokens(tmp_path / "data")
    out = tmp_path / "out"
    done = bench(
        "--workload", f"{workload.name}:make", "--batch-size", "4", "--device", "cpu",
        "--compile", "off", "--optimizer", "own", "foreach", "--steps", "6",
        "--parity-steps", "3", "--train-parity", "--train-steps", "20", "--profile",
        "--profile-workers", "--output", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    cases = {path.stem: json.loads(path.read_text()) for path in (out / "cases").glob("*.json")}
    measured = [name for name, case in cases.items() if case["status"] == "ok"]
    assert len(measured) == 2
    refused = [case for case in cases.values() if case["status"] == "unsupported"]
    assert len(refused) == 2
    assert all("use --num-workers 0" in case["reason"] for case in refused)
    for name in measured:
        judgement = json.loads((out / "parity" / f"{name}.json").read_text())["judgement"]
        assert judgement["verdict"] == "pass"
    resumed = bench("--resume", str(out))
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr


def test_mnist_is_measured_in_both_loops(bench: Any, tmp_path: Path) -> None:
    workload = write_workload("mnist", tmp_path)
    write_mnist(tmp_path / "data")
    out = tmp_path / "out"
    done = bench(
        "--workload", f"{workload.name}:make", "--batch-size", "4", "--num-workers", "0",
        "--device", "cpu", "--compile", "off", "--loop", "train", "eval", "--steps", "6",
        "--parity-steps", "2", "--output", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for path in (out / "parity").glob("*.json"):
        assert json.loads(path.read_text())["judgement"]["verdict"] == "pass"
