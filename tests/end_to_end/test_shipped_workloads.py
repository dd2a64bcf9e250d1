"""The shipped workloads, each as a user runs it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stepbench.workload.shipped import CLASSIFIERS, SHIPPED

Bench = Callable[..., subprocess.CompletedProcess[str]]
NAMES = sorted(
    path.stem
    for path in SHIPPED.glob("*.py")
    if not path.stem.startswith("_") and path.stem != CLASSIFIERS
)


def verdicts(bench: Bench, out: Path, *arguments: str) -> dict[str, tuple[str, str | None]]:
    """Runs the parity of cases; returns each case's verdict with its reason, by id."""
    done = bench(
        *arguments, "--num-workers", "0", "--device", "cpu", "--parity-steps", "2",
        "--output", str(out), "-k", "parity", timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    files = [json.loads(path.read_text()) for path in (out / "parity").glob("*.json")]
    return {
        file["id"]: (file["judgement"]["verdict"], file["judgement"]["reason"]) for file in files
    }


def test_each_passes_parity(bench: Bench, tmp_path: Path) -> None:
    arguments = ("--workload", *NAMES, "--batch-size", "4", "--compile", "off")
    results = verdicts(bench, tmp_path / "out", *arguments)
    assert len(results) == len(NAMES)
    assert set(results.values()) == {("pass", None)}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [*NAMES, "resnet18", "mobilenet_v3_small"])
def test_each_passes_parity_when_compiled(name: str, bench: Bench, tmp_path: Path) -> None:
    arguments = ("--workload", name, "--batch-size", "8", "--compile", "off", "default")
    results = verdicts(bench, tmp_path / "out", *arguments)
    assert len(results) == 2
    assert set(results.values()) == {("pass", None)}


def case_file(out: Path, name: str) -> dict[str, Any]:
    case: dict[str, Any] = json.loads(next((out / "cases").glob(f"{name}-*.json")).read_text())
    return case


def test_control_flow_causes_graph_breaks_and_recompilations(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = bench(
        "--workload", "control_flow", "--batch-size", "4", "--num-workers", "0", "--device", "cpu",
        "--compile", "backend:eager", "--steps", "20", "--no-parity", "--output", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    compiled = case_file(out, "control_flow")["compile"]
    assert compiled["graph_breaks"] >= 1
    assert "control_flow.py" in compiled["breaks"][0]["where"]
    assert compiled["recompiles"] >= 1
