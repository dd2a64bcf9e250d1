"""Parity fails wrong training and passes correct training, in real runs."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import stepbench_reports

Bench = Callable[..., subprocess.CompletedProcess[str]]

SOURCE = Path(__file__).resolve().parents[1] / "support" / "mismatching.py"
QUICK = (
    "--batch-size", "8", "--num-workers", "0", "--device", "cpu", "--threads", "1", "--steps", "3",
)  # fmt: skip
FIRST_MISMATCHES = {
    "backend.scales_a_gradient": ("gradient", "", 1),
    "backend.drops_a_bias": ("output", "output", 1),
    "backend.scales_dropout": ("output", "output", 1),
    "backend.rounds_like_tf32": ("output", "output", 1),
    "backend.breaks_at_step_4": ("output", "output", 4),
    "backend.forgets_buffers": ("buffer", "norm.running_mean", 1),
}
"""By setting, the first tensor out of tolerance: its kind, its name and the step."""


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    path = tmp_path / "mismatching.py"
    shutil.copy(SOURCE, path)
    return path


def parity_files(run: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in (run / "parity").glob("*.json")}


def test_backends_that_train_wrongly_fail_and_others_pass(
    bench: Bench, workload: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    backends = [name.replace(".", ":", 1) for name in FIRST_MISMATCHES]
    done = bench(
        "--workload", f"{workload.name}:make", *QUICK, "--compile", "off", "backend:aot_eager",
        *backends, "--output", str(out), "-k", "parity or off or drops_a_bias",
        f"--junitxml={tmp_path / 'junit.xml'}",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    files = parity_files(out)
    assert len(files) == len(FIRST_MISMATCHES) + 2
    for setting in ("off", "backend.aot_eager"):
        assert files[f"mismatching-cpu-b8-w0-{setting}-fp32"]["judgement"]["verdict"] == "pass"
    for setting, (kind, name, step) in FIRST_MISMATCHES.items():
        judgement = files[f"mismatching-cpu-b8-w0-{setting}-fp32"]["judgement"]
        assert judgement["verdict"] == "fail", setting
        first = judgement["first"]
        assert (first["kind"], first["step"]) == (kind, step), setting
        assert name in first["name"]
        assert judgement["blame"] == {"compile": "backend:aot_eager", "outcome": "agrees"}, setting
        assert "the code that the backend generates is to blame" in judgement["reason"]
    scaled = files["mismatching-cpu-b8-w0-backend.scales_a_gradient-fp32"]["judgement"]
    assert scaled["first"]["error"] == pytest.approx(0.001, rel=0.05)
    assert scaled["starts"] == 9
    broken = files["mismatching-cpu-b8-w0-backend.breaks_at_step_4-fp32"]["judgement"]
    assert broken["first"]["error"] is None
    assert "not finite" in broken["reason"]
    failures = ET.parse(tmp_path / "junit.xml").getroot().iter("failure")  # noqa: S314  # our own
    assert len(list(failures)) == len(FIRST_MISMATCHES)
    assert not (out / "references").exists()
    _strike_through(done.stdout, out)

    again = bench("--resume", str(out), "-k", "off or drops_a_bias")
    assert again.returncode == 1
    assert "already measured: 2 of 8 cases" in again.stdout


def _strike_through(printed: str, out: Path) -> None:
    """Two cases were measured as well, and reports say which of them fails parity."""
    assert "FAIL" in printed
    assert "Parity of backend:drops_a_bias: fail" in " ".join(printed.split())
    report = (out / "report.md").read_text()
    assert "~~" in report
    assert "**FAIL**" in report
    cases = stepbench_reports.load(out).cases.set_index("compile")
    assert cases["parity"][["off", "backend:drops_a_bias"]].to_list() == ["pass", "fail"]


def test_wrong_control_flow_optimizer_and_state_fail(
    bench: Bench, workload: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = bench(
        "--workload", *(f"{workload.name}:{name}" for name in ("branches", "skips", "forgetful")),
        *QUICK, "--compile", "off", "backend:eager", "--optimizer", "own", "foreach",
        "--output", str(out), "-k", "parity",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    judgements = {name: content["judgement"] for name, content in parity_files(out).items()}

    traced = judgements["mismatching.branches-cpu-b8-w0-backend.eager-fp32"]
    assert traced["verdict"] == "fail"
    assert traced["blame"] == {"compile": "backend:aot_eager", "outcome": "mismatch"}
    assert "tracing is to blame" in traced["reason"]
    assert judgements["mismatching.branches-cpu-b8-w0-off-fp32"]["verdict"] == "pass"

    skipped = judgements["mismatching.skips-cpu-b8-w0-off-fp32-foreach"]
    assert skipped["verdict"] == "fail"
    assert skipped["first"]["kind"] == "parameter"
    assert (skipped["first"]["name"], skipped["first"]["step"]) == ("last.bias", 1)
    assert skipped["first"]["error"] == pytest.approx(1.0, rel=0.01)
    compiled = judgements["mismatching.skips-cpu-b8-w0-backend.eager-fp32-foreach"]
    assert compiled["blame"] == {"compile": "off", "outcome": "mismatch"}
    assert judgements["mismatching.skips-cpu-b8-w0-off-fp32"]["verdict"] == "pass"

    forgotten = judgements["mismatching.forgetful-cpu-b8-w0-off-fp32"]
    assert forgotten["verdict"] == "fail"
    assert "not in its state_dict" in forgotten["reason"]


def test_correct_training_passes_in_every_loop_and_precision(
    bench: Bench, workload: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = bench(
        "--workload", f"{workload.name}:unusual", *QUICK,
        "--loop", "train", "eval", "--accumulate", "1", "2", "--precision", "fp32", "fp16",
        "--compile", "off", "backend:aot_eager", "--optimizer", "own", "fused",
        "--output", str(out), "-k", "parity",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    judgements = {name: content["judgement"] for name, content in parity_files(out).items()}
    assert len(judgements) == 2 * 2 * (1 + 2 * 2)
    assert {judgement["verdict"] for judgement in judgements.values()} == {"pass"}
    assert all(judgement["reference"]["steps"] == 5 for judgement in judgements.values())


def test_training_with_random_numbers_passes(bench: Bench, workload: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = bench(
        "--workload", f"{workload.name}:noisy", *QUICK,
        "--compile", "off", "default", "--precision", "fp32", "bf16",
        "--output", str(out), "-k", "parity and not (default and bf16)",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    judgements = {name: content["judgement"] for name, content in parity_files(out).items()}
    assert len(judgements) == 3
    assert all(judgement["verdict"] == "pass" for judgement in judgements.values()), judgements
    random = judgements["mismatching.noisy-cpu-b8-w0-default-fp32"]["random"]
    assert any("dropout" in name or "bernoulli" in name for name in random)
    assert any("randn" in name or "normal" in name for name in random)


def test_training_parity_compares_accuracies(bench: Bench, workload: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = bench(
        "--workload", f"{workload.name}:make", *QUICK, "--compile", "off", "backend:aot_eager",
        "backend:scales_dropout", "--train-parity", "--train-steps", "200", "--train-margin", "0.1",
        "--output", str(out), "-k", "training_parity",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    facts = {
        path.stem: json.loads(path.read_text())["facts"]
        for path in (out / "train-parity").glob("*.json")
    }
    assert facts["mismatching-cpu-b8-w0-off-fp32"]["verdict"] == "eager fp32"
    report = (out / "report.md").read_text()  # also for cases that were not measured
    assert "equivalent" in report
    compiled = facts["mismatching-cpu-b8-w0-backend.aot_eager-fp32"]
    assert compiled["verdict"] == "equivalent"
    assert len(compiled["accuracies"]) == len(compiled["eager_fp32_accuracies"]) == 3
    assert min(compiled["accuracies"]) > 0.8
    assert "equivalent" in done.stdout


def test_a_workload_without_a_required_part_fails(
    bench: Bench, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    tiny(
        more="""
        MODEL = torch.nn.Linear(8, 2)

        def same():
            import dataclasses
            return dataclasses.replace(make(), model=lambda: MODEL)
    """
    )
    done = bench(
        "--workload", "tiny.py:make", "tiny.py:same", *QUICK, "--compile", "off",
        "--precision", "bf16", "--train-parity", "--train-steps", "3",
        "--output", str(tmp_path / "out"), "-v",
    )  # fmt: skip
    assert done.returncode == 1
    printed = " ".join(done.stdout.split())
    assert "give Workload(test_dataset=...)" in printed
    assert "model() returns the same model at each call" in printed
    assert "3 failed, 11 passed" in printed  # all phases, and the parity of one's tensors
