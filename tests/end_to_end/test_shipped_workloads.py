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
    """Whether cases compute what they should, and why not, by their ids."""
    done = bench(
        *arguments, "--num-workers", "0", "--device", "cpu", "--parity-steps", "2",
        "--output", str(out), "-k", "parity", timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = [json.loads(path.read_text()) for path in (out / "parity").glob("*.json")]
    return {
        each["id"]: (each["judgement"]["verdict"], each["judgement"]["reason"]) for each in told
    }


def test_each_computes_what_it_should(bench: Bench, tmp_path: Path) -> None:
    words = ("--workload", *NAMES, "--batch-size", "4", "--compile", "off")
    found = verdicts(bench, tmp_path / "out", *words)
    assert len(found) == len(NAMES)
    assert set(found.values()) == {("pass", None)}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [*NAMES, "resnet18", "mobilenet_v3_small"])
def test_each_computes_the_same_compiled(name: str, bench: Bench, tmp_path: Path) -> None:
    words = ("--workload", name, "--batch-size", "8", "--compile", "off", "default")
    found = verdicts(bench, tmp_path / "out", *words)
    assert len(found) == 2
    assert set(found.values()) == {("pass", None)}


def facts(out: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next((out / "cases").glob(f"{name}-*.json")).read_text())
    return found


def test_control_flow_breaks_graphs_and_is_compiled_again(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = bench(
        "--workload", "control_flow", "--batch-size", "4", "--num-workers", "0", "--device", "cpu",
        "--compile", "backend:eager", "--steps", "20", "--no-parity", "--output", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    compiled = facts(out, "control_flow")["compile"]
    assert compiled["graph_breaks"] >= 1
    assert "control_flow.py" in compiled["breaks"][0]["where"]
    assert compiled["recompiles"] >= 1
