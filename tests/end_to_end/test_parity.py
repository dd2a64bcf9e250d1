"""Parity catches what it should, and passes what it should: real runs, as a user starts them."""

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

SOURCE = Path(__file__).resolve().parents[1] / "support" / "departing.py"
QUICK = (
    "--batch-size", "8", "--num-workers", "0", "--device", "cpu", "--threads", "1", "--steps", "3",
)  # fmt: skip
CAUGHT = {
    "backend.scales_a_gradient": ("gradient", "", 1),
    "backend.drops_a_bias": ("output", "output", 1),
    "backend.scales_dropout": ("output", "output", 1),
    "backend.rounds_like_tf32": ("output", "output", 1),
    "backend.breaks_at_step_4": ("output", "output", 4),
    "backend.forgets_buffers": ("buffer", "norm.running_mean", 1),
}
"""By setting, what departs first: its kind, its name and the step."""


@pytest.fixture
def departing(tmp_path: Path) -> Path:
    place = tmp_path / "departing.py"
    shutil.copy(SOURCE, place)
    return place


def judged(run: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in (run / "parity").glob("*.json")}


def test_what_trains_another_model_is_caught_and_the_rest_is_not(
    bench: Bench, departing: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    backends = [name.replace(".", ":", 1) for name in CAUGHT]
    done = bench(
        "--workload", f"{departing.name}:make", *QUICK, "--compile", "off", "backend:aot_eager",
        *backends, "--output", str(out), "-k", "parity or off or drops_a_bias",
        f"--junitxml={tmp_path / 'junit.xml'}",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    found = judged(out)
    assert len(found) == len(CAUGHT) + 2
    for setting in ("off", "backend.aot_eager"):
        assert found[f"departing-cpu-b8-w0-{setting}-fp32"]["judgement"]["verdict"] == "pass"
    for setting, (kind, name, step) in CAUGHT.items():
        judgement = found[f"departing-cpu-b8-w0-{setting}-fp32"]["judgement"]
        assert judgement["verdict"] == "fail", setting
        first = judgement["first"]
        assert (first["kind"], first["step"]) == (kind, step), setting
        assert name in first["name"]
        assert judgement["blame"] == {"compile": "backend:aot_eager", "found": "agrees"}, setting
        assert "the code that the backend generates is to blame" in judgement["reason"]
    scaled = found["departing-cpu-b8-w0-backend.scales_a_gradient-fp32"]["judgement"]
    assert scaled["first"]["error"] == pytest.approx(0.001, rel=0.05)
    assert scaled["starts"] == 9
    broken = found["departing-cpu-b8-w0-backend.breaks_at_step_4-fp32"]["judgement"]
    assert broken["first"]["error"] is None
    assert "not finite" in broken["reason"]
    failures = ET.parse(tmp_path / "junit.xml").getroot().iter("failure")  # noqa: S314  # our own
    assert len(list(failures)) == len(CAUGHT)
    assert not (out / "references").exists()
    _strike_through(done.stdout, out)

    again = bench("--resume", str(out), "-k", "off or drops_a_bias")
    assert again.returncode == 1
    assert "2 of 8 cases are there already" in again.stdout


def _strike_through(printed: str, out: Path) -> None:
    """Two cases were measured as well, and reports say which of them lost parity."""
    assert "LOST" in printed
    assert "Lost parity, and does not count: backend:drops_a_bias" in " ".join(printed.split())
    report = (out / "report.md").read_text()
    assert "~~" in report
    assert "**lost**" in report
    cases = stepbench_reports.load(out).cases.set_index("compile")
    assert cases["parity"][["off", "backend:drops_a_bias"]].to_list() == ["pass", "fail"]


def test_control_flow_an_optimizer_and_a_state_that_lacks_something_are_caught(
    bench: Bench, departing: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = bench(
        "--workload", *(f"{departing.name}:{name}" for name in ("branches", "skips", "forgetful")),
        *QUICK, "--compile", "off", "backend:eager", "--optimizer", "own", "foreach",
        "--output", str(out), "-k", "parity",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    found = {name: content["judgement"] for name, content in judged(out).items()}

    traced = found["departing.branches-cpu-b8-w0-backend.eager-fp32"]
    assert traced["verdict"] == "fail"
    assert traced["blame"] == {"compile": "backend:aot_eager", "found": "departs"}
    assert "tracing is to blame" in traced["reason"]
    assert found["departing.branches-cpu-b8-w0-off-fp32"]["verdict"] == "pass"

    skipped = found["departing.skips-cpu-b8-w0-off-fp32-foreach"]
    assert skipped["verdict"] == "fail"
    assert skipped["first"]["kind"] == "parameter"
    assert (skipped["first"]["name"], skipped["first"]["step"]) == ("last.bias", 1)
    assert skipped["first"]["error"] == pytest.approx(1.0, rel=0.01)
    compiled = found["departing.skips-cpu-b8-w0-backend.eager-fp32-foreach"]
    assert compiled["blame"] == {"compile": "off", "found": "departs"}
    assert found["departing.skips-cpu-b8-w0-off-fp32"]["verdict"] == "pass"

    forgotten = found["departing.forgetful-cpu-b8-w0-off-fp32"]
    assert forgotten["verdict"] == "fail"
    assert "not in its state_dict" in forgotten["reason"]


def test_what_is_right_passes_in_every_loop_and_precision(
    bench: Bench, departing: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = bench(
        "--workload", f"{departing.name}:unusual", *QUICK,
        "--loop", "train", "eval", "--accumulate", "1", "2", "--precision", "fp32", "fp16",
        "--compile", "off", "backend:aot_eager", "--optimizer", "own", "fused",
        "--output", str(out), "-k", "parity",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = {name: content["judgement"] for name, content in judged(out).items()}
    assert len(found) == 2 * 2 * (1 + 2 * 2)
    assert {judgement["verdict"] for judgement in found.values()} == {"pass"}
    assert all(judgement["reference"]["steps"] == 5 for judgement in found.values())


def test_random_numbers_are_made_alike_or_it_is_said_that_they_cannot(
    bench: Bench, departing: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = bench(
        "--workload", f"{departing.name}:noisy", *QUICK,
        "--compile", "off", "default", "--precision", "fp32", "bf16",
        "--output", str(out), "-k", "parity and not (default and bf16)",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = {name: content["judgement"] for name, content in judged(out).items()}
    assert len(found) == 3
    assert all(judgement["verdict"] == "pass" for judgement in found.values()), found
    random = found["departing.noisy-cpu-b8-w0-default-fp32"]["random"]
    assert any("dropout" in name or "bernoulli" in name for name in random)
    assert any("randn" in name or "normal" in name for name in random)


def test_trainings_are_compared_by_their_accuracy(
    bench: Bench, departing: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = bench(
        "--workload", f"{departing.name}:make", *QUICK, "--compile", "off", "backend:aot_eager",
        "backend:scales_dropout", "--train-parity", "--train-steps", "200", "--train-margin", "0.1",
        "--output", str(out), "-k", "training_parity",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = {
        path.stem: json.loads(path.read_text())["facts"]
        for path in (out / "train-parity").glob("*.json")
    }
    assert found["departing-cpu-b8-w0-off-fp32"]["verdict"] == "twin"
    report = (out / "report.md").read_text()  # also of what was not measured
    assert "equivalent" in report
    alike = found["departing-cpu-b8-w0-backend.aot_eager-fp32"]
    assert alike["verdict"] == "equivalent"
    assert len(alike["accuracies"]) == len(alike["twin_accuracies"]) == 3
    assert min(alike["accuracies"]) > 0.8
    assert "equivalent" in done.stdout


def test_a_workload_that_lacks_something_is_refused_where_it_is_needed(
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
        "--output", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.returncode == 1
    printed = " ".join(done.stdout.split())
    assert "give Workload(test_dataset=...)" in printed
    assert "its model() gives the same model at each call" in printed
    assert "3 failed, 11 passed" in printed  # all phases, and the parity of one's tensors
