"""Whole runs, as a user starts them, and the files that they write."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.warm import WarmCommands

Bench = Callable[..., subprocess.CompletedProcess[str]]
Tiny = Callable[..., Path]

QUICK = ("--batch-size", "4", "--num-workers", "0", "--compile", "off", "--steps", "3")


def case_files(run: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in (run / "cases").glob("*.json")}


def test_a_tiny_run_writes_all_files(bench: Bench, tiny: Tiny, tmp_path: Path) -> None:
    tiny()
    junit = tmp_path / "junit.xml"
    done = bench(
        "--workload", "tiny.py:make", "--batch-size", "4", "8", "--num-workers", "0",
        "--compile", "off", "--steps", "6", f"--junitxml={junit}", "--benchmark-save", "first",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "results" / "latest"
    assert (tmp_path / "results" / ".gitignore").read_text().endswith("*\n")
    command = json.loads((run / "run.json").read_text())["command"]
    assert command.startswith("stepbench run --workload tiny.py:make --batch-size 4 8 ")

    files = case_files(run)
    assert set(files) == {f"tiny-cpu-b{size}-w0-off-fp32" for size in (4, 8)}
    for name, content in files.items():
        assert content["status"] == "ok"
        laps = content["laps"]["host"]
        assert set(laps) == {"dataload", "forward", "backward", "optimizer", "step"}
        assert len(laps["step"]) == 6
        sums = [sum(parts) for parts in zip(*(laps[p] for p in laps if p != "step"), strict=True)]
        assert sums == pytest.approx(laps["step"], rel=1e-6)
        assert name in done.stdout

    benchmark = json.loads((run / "benchmark.json").read_text())
    assert len(benchmark["benchmarks"]) == 2 * 5
    for entry in benchmark["benchmarks"]:
        laps = files[entry["group"]]["laps"]["host"]
        assert entry["stats"]["data"] == laps[entry["extra_info"]["phase"]]  # bit for bit
    assert benchmark["stepbench"]["cases"] == list(
        json.loads((run / "run.json").read_text())["cases"]
    )

    assert 'tests="12"' in junit.read_text()
    assert "tiny" in (run / "report.md").read_text()
    assert len((run / "phases.csv").read_text().splitlines()) == 1 + 2 * 5
    assert re.search(r"process started in \d+\.\d ms, ok after", (run / "run.log").read_text())
    assert "2 of 2 cases measured in 0:" in done.stdout

    resumed = bench("--resume", str(run), "--benchmark-compare")
    assert resumed.returncode == 0, resumed.stdout
    assert "already measured: 2 of 2 cases" in resumed.stdout
    assert "0001_first" in resumed.stdout


def test_cases_that_compile_the_same_share_one_cold_compilation(
    bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    tiny()
    done = bench(
        "--workload", "tiny.py:make", "--batch-size", "4", "--num-workers", "0", "1",
        "--compile", "default", "backend:aot_eager", "--steps", "3", "--threads", "1",
        "--no-parity", "-k", "default or w0", "--output", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 4 cases measured, 1 not measured in" in done.stdout
    assert not (tmp_path / "out" / "parity").exists()
    files = case_files(tmp_path / "out")
    shared = [files[f"tiny-cpu-b4-w{workers}-default-fp32"]["compile"] for workers in (0, 1)]
    assert shared[0]["cold"] == shared[1]["cold"]
    for compilation in shared:
        cold = compilation["cold"]
        assert compilation["graphs"] == 1
        assert cold["first_step_s"] >= cold["compile_s"] > 0
    assert files["tiny-cpu-b4-w0-backend.aot_eager-fp32"]["compile"]["cold"] is None
    assert {content["settings"]["threads"] for content in files.values()} == {1}
    assert not (tmp_path / "out" / "compile-cache").exists()
    facts = json.loads((tmp_path / "out" / "run.json").read_text())
    assert facts["machine_peaks"]["cpu"]["matmul_flops_per_s"]["fp32"] > 0
    assert facts["machine_peaks"]["cpu"]["threads"] == 1


def test_failing_cases_fail_and_the_others_are_measured(
    bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    tiny("good.py")
    tiny(
        "raises.py",
        "def broken(*_):\n    raise ValueError('bad loss')\n"
        "import dataclasses\nold = make\n"
        "def make(): return dataclasses.replace(old(), loss=broken)",
    )
    tiny("dies.py", "def die(self, index):\n    os.kill(os.getpid(), 9)\nData.__getitem__ = die")
    names = ("raises", "dies", "good")
    done = bench(
        "--workload", *(f"{name}.py:make" for name in names), "--batch-size", "4",
        "--num-workers", "1", "--compile", "off", "--steps", "3", "--output", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    files = case_files(tmp_path / "out")
    statuses = {name: files[f"{name}-cpu-b4-w1-off-fp32"] for name in names}
    assert {name: content["status"] for name, content in statuses.items()} == {
        "raises": "error", "dies": "crashed", "good": "ok",
    }  # fmt: skip
    assert "ValueError: bad loss" in statuses["raises"]["reason"]
    assert "bad loss" in statuses["raises"]["detail"]
    assert "DataLoader worker" in statuses["dies"]["reason"]
    assert "1 of 3 cases measured, 1 error, 1 crashed in" in done.stdout
    report = (tmp_path / "out" / "report.md").read_text()
    assert "bad loss" in report


LATER = """
from pathlib import Path
FILE = Path(f"out/cases/{Path(__file__).stem}-cpu-b4-w0-off-fp32.json")
def later(act):
    def get(self, index):
        if FILE.exists():
            act()
        return torch.ones(8), 0
    return get
"""
"""Makes a way to get an item that does something else in the second generation: the case's file is
written after the first one."""


def test_cases_that_are_lost_leave_the_group_and_the_others_go_on(
    bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    tiny("full.py", "def full(*_):\n    raise torch.OutOfMemoryError('CUDA out of memory')\n"
         "Data.__getitem__ = full")  # fmt: skip
    tiny("good.py")
    tiny("dies.py", LATER + "Data.__getitem__ = later(lambda: os.kill(os.getpid(), 9))")
    tiny("hangs.py", LATER + "Data.__getitem__ = later(lambda: time.sleep(600))")
    names = ("full", "good", "dies", "hangs")
    done = bench(
        "--workload", *(f"{name}.py:make" for name in names), "--batch-size", "4",
        "--num-workers", "0", "--compile", "off", "--generations", "2", "--max-time", "1",
        "--deadline", "8", "--no-parity", "--output", "out",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    files = case_files(tmp_path / "out")
    cases = {name: files[f"{name}-cpu-b4-w0-off-fp32"] for name in names}
    assert {name: content["status"] for name, content in cases.items()} == {
        "full": "oom", "good": "ok", "dies": "crashed", "hangs": "ok",
    }  # fmt: skip
    assert cases["good"]["sampling"]["generations"] >= 2
    # What it measured before it hung counts.
    assert cases["hangs"]["sampling"]["generations"] == 1
    assert cases["hangs"]["sampling"]["stopped"] == "silent"
    assert "raise --deadline" in (tmp_path / "out" / "report.md").read_text()
    assert "2 of 4 cases measured, 1 oom, 1 crashed in" in done.stdout


def test_x_stops_after_the_group_and_lf_measures_what_failed(
    bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    tiny("good.py")
    arguments = ("--workload", "broken.py:make", "good.py:make", *QUICK, "--no-parity")
    tiny("broken.py", "Data.__getitem__ = lambda self, index: 1 / 0")
    done = bench(*arguments, "-x", "--output", "out")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "[2/2] good" in done.stdout  # both were measured at once
    assert "1 of 2 cases measured, 1 error in" in done.stdout
    assert "passed" not in done.stdout
    tiny("broken.py")
    again = bench("--resume", "out", "--lf")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "already measured: 1 of 2 cases" in again.stdout
    assert "2 of 2 cases measured in" in again.stdout
    files = case_files(tmp_path / "out")
    assert [content["status"] for content in files.values()] == ["ok", "ok"]


def test_a_case_that_hangs_is_stopped(bench: Bench, tiny: Tiny, tmp_path: Path) -> None:
    tiny(more="def slow(self, index):\n    time.sleep(600)\nData.__getitem__ = slow")
    done = bench(
        "--workload", "tiny.py:make", *QUICK, "--deadline", "2", "--no-parity",
        "--output", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    (hung,) = case_files(tmp_path / "out").values()
    assert hung["status"] == "timeout"
    assert "--deadline" in hung["reason"]
    assert "0 of 1 case measured, 1 timeout in" in done.stdout


def test_unsupported_cases_are_skipped_unless_requested_on_the_command_line(
    bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    tiny()
    (tmp_path / "pyproject.toml").write_text(
        "[tool.stepbench.matrix.half]\nworkload = ['tiny.py:make']\nbatch-size = [4]\n"
        "device = ['cpu']\nnum-workers = [0]\ncompile = ['off']\nprecision = ['fp32', 'tf32']\n"
    )
    done = bench("--matrix", "half", "--steps", "3", "--no-parity", "--output", "out")
    assert done.returncode == 0, done.stdout
    assert "1 of 2 cases measured, 1 unsupported in" in done.stdout
    named = bench("--resume", "out", "--matrix", "half", "--precision", "fp32", "tf32")
    assert named.returncode == 1, named.stdout
    assert "1 of 2 cases measured, 1 unsupported in" in named.stdout
    assert "does not support TF32" in named.stdout


def test_the_pytest_settings_and_packages_of_a_repository_have_no_effect(
    bench: Bench, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("models", "reports"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("mine = True\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -n 4 --device=tpu --nonsense\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not for stepbench')\n")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-n 8")
    tiny(more="import models, reports\nassert models.mine and reports.mine")
    done = bench("--workload", "tiny.py:make", "convnet", *QUICK, "--no-parity")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 cases measured in" in done.stdout


REPORT_TORCH = """
import sys
from stepbench.cli import main

code = main(sys.argv[1:])
print("torch in the parent:", "torch" in sys.modules)
sys.exit(code)
"""


def test_a_run_with_every_kind_of_job_does_not_import_torch_in_its_parent(
    commands: WarmCommands, tiny: Tiny, tmp_path: Path
) -> None:
    tiny(
        more="def right(scores, labels):\n    return (scores.argmax(1) == labels).sum()\n"
        "import dataclasses\nold = make\n"
        "def make(): return dataclasses.replace(old(), test_dataset=Data, metric=right)"
    )
    done = commands.run(
        [sys.executable, "-c", REPORT_TORCH, "run", "--workload", "tiny.py:make", *QUICK,
         "--precision", "fp32", "bf16", "--train-parity", "--train-steps", "3",
         "--train-margin", "1", "--profile", "-k", "bf16", "-v"],
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 passed" in done.stdout  # five phases, two kinds of parity, a profile
    assert "torch in the parent: False" in done.stdout
