"""Whole runs, each in a process of its own, as a user starts them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

Bench = Callable[..., subprocess.CompletedProcess[str]]
Tiny = Callable[..., Path]

QUICK = ("--batch-size", "4", "--num-workers", "0", "--compile", "off", "--steps", "6")


def case_files(run: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in (run / "cases").glob("*.json")}


def test_a_tiny_run_leaves_all_that_it_promises(bench: Bench, tiny: Tiny, tmp_path: Path) -> None:
    tiny()
    junit = tmp_path / "junit.xml"
    done = bench(
        "--workload", "tiny.py:make", "--batch-size", "4", "8", "--num-workers", "0", "1",
        "--compile", "off", "--steps", "6", f"--junitxml={junit}", "--benchmark-save", "first",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "results" / "latest"
    assert (tmp_path / "results" / ".gitignore").read_text().endswith("*\n")

    files = case_files(run)
    assert set(files) == {f"tiny-cpu-b{b}-w{w}-off-fp32" for b in (4, 8) for w in (0, 1)}
    for name, content in files.items():
        assert content["status"] == "ok"
        laps = content["laps"]["host"]
        assert set(laps) == {"dataload", "forward", "backward", "optimizer", "step"}
        assert len(laps["step"]) == 6
        whole = [sum(parts) for parts in zip(*(laps[p] for p in laps if p != "step"), strict=True)]
        assert whole == pytest.approx(laps["step"], rel=0.01)
        assert name in done.stdout

    ledger = json.loads((run / "benchmark.json").read_text())
    assert len(ledger["benchmarks"]) == 4 * 5
    for entry in ledger["benchmarks"]:
        laps = files[entry["group"]]["laps"]["host"]
        assert entry["stats"]["data"] == laps[entry["extra_info"]["phase"]]  # bit for bit
    assert ledger["stepbench"]["cases"] == list(json.loads((run / "run.json").read_text())["cases"])

    assert 'tests="24"' in junit.read_text()
    assert "tiny" in (run / "report.md").read_text()
    assert len((run / "phases.csv").read_text().splitlines()) == 1 + 4 * 5
    assert re.search(r"process started in \d+\.\d ms, ok after", (run / "run.log").read_text())
    assert "24 passed" in done.stdout

    again = bench(
        "--workload", "tiny.py:make", *QUICK, "--benchmark-compare", "--output", str(tmp_path / "b")
    )
    assert again.returncode == 0, again.stdout
    assert "0001_first" in again.stdout


def test_cases_that_compile_the_same_share_one_cold_compilation(
    bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    tiny()
    done = bench(
        "--workload", "tiny.py:make", "--batch-size", "4", "--num-workers", "0", "1",
        "--compile", "default", "backend:aot_eager", "--steps", "4", "--threads", "1",
        "--output", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    files = case_files(tmp_path / "out")
    shared = [files[f"tiny-cpu-b4-w{workers}-default-fp32"]["compile"] for workers in (0, 1)]
    assert shared[0]["cold"] == shared[1]["cold"]
    for each in shared:
        assert each["graphs"] == 1
        assert each["cold"]["first_step_s"] >= each["cold"]["compile_s"] > 0
    assert files["tiny-cpu-b4-w0-backend.aot_eager-fp32"]["compile"]["cold"] is None
    assert {content["settings"]["threads"] for content in files.values()} == {1}
    assert not (tmp_path / "out" / "compile-cache").exists()
    facts = json.loads((tmp_path / "out" / "run.json").read_text())
    assert facts["ceilings"]["cpu"]["matmul_flops_per_s"]["fp32"] > 0
    assert facts["ceilings"]["cpu"]["threads"] == 1


def test_failing_cases_fail_and_the_others_go_on(bench: Bench, tiny: Tiny, tmp_path: Path) -> None:
    tiny("good.py")
    tiny(
        "raises.py",
        "def broken(*_):\n    raise ValueError('bad loss')\n"
        "import dataclasses\nold = make\n"
        "def make(): return dataclasses.replace(old(), loss=broken)",
    )
    tiny("hangs.py", "def slow(self, index):\n    time.sleep(600)\nData.__getitem__ = slow")
    tiny("dies.py", "def die(self, index):\n    os.kill(os.getpid(), 9)\nData.__getitem__ = die")
    names = ("raises", "hangs", "dies", "good")
    done = bench(
        "--workload", *(f"{name}.py:make" for name in names), "--batch-size", "4",
        "--num-workers", "2", "--compile", "off", "--steps", "4", "--deadline", "30",
        "--output", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    files = case_files(tmp_path / "out")
    statuses = {name: files[f"{name}-cpu-b4-w2-off-fp32"] for name in names}
    assert {name: content["status"] for name, content in statuses.items()} == {
        "raises": "error", "hangs": "timeout", "dies": "crashed", "good": "ok",
    }  # fmt: skip
    assert "ValueError: bad loss" in statuses["raises"]["reason"]
    assert "bad loss" in statuses["raises"]["detail"]
    assert "--deadline" in statuses["hangs"]["reason"]
    assert "DataLoader worker" in statuses["dies"]["reason"]
    assert "15 failed, 6 passed, 3 skipped" in done.stdout
    report = (tmp_path / "out" / "report.md").read_text()
    assert "bad loss" in report


def test_unsupported_is_skipped_unless_it_was_asked_for_by_name(
    bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    tiny()
    (tmp_path / "pyproject.toml").write_text(
        "[tool.stepbench.matrix.half]\nworkload = ['tiny.py:make']\nbatch-size = [4]\n"
        "device = ['cpu']\nnum-workers = [0]\ncompile = ['off']\nprecision = ['fp32', 'tf32']\n"
    )
    done = bench("--matrix", "half", "--steps", "3")
    assert done.returncode == 0, done.stdout
    assert "6 passed, 6 skipped" in done.stdout
    named = bench("--matrix", "half", "--precision", "tf32", "--steps", "3")
    assert named.returncode == 1, named.stdout
    assert "has no TF32" in named.stdout


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_cut_off_is_gone_on_with(
    how: signal.Signals,
    start_bench: Callable[..., subprocess.Popen[str]],
    bench: Bench,
    tiny: Tiny,
    tmp_path: Path,
) -> None:
    tiny("first.py")
    slow = (
        "def slow(self, index):\n    time.sleep(0 if os.path.exists('go') else 600)\n"
        "    return torch.ones(8), 0\nData.__getitem__ = slow"
    )
    tiny("second.py", slow)
    out = tmp_path / "out"
    process = start_bench(
        "--workload", "first.py:make", "second.py:make", "--batch-size", "4", "--num-workers", "2",
        "--compile", "off", "--steps", "4", "--output", str(out),
    )  # fmt: skip
    first = out / "cases" / "first-cpu-b4-w2-off-fp32.json"
    until = time.monotonic() + 120
    while not first.exists() and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(1.0)  # the second case is waiting for its workers by now
    kept = first.read_bytes()
    tree = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, how)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == (2 if how is signal.SIGINT else -signal.SIGKILL)
    _, alive = psutil.wait_procs(tree, timeout=20)
    assert not alive
    if how is signal.SIGINT:
        assert "first" in (out / "report.md").read_text()
        assert "1 of 2 cases not measured" in output

    # A truncated file, as a crash of the machine may leave it, is measured again.
    (out / "cases" / "second-cpu-b4-w2-off-fp32.json").write_bytes(kept[:100])
    (tmp_path / "go").touch()
    again = bench("--resume", str(out))
    assert again.returncode == 0, again.stdout + again.stderr
    assert first.read_bytes() == kept
    assert {content["status"] for content in case_files(out).values()} == {"ok"}
    assert "[1/1] second" in again.stdout

    other = bench("--resume", str(out), "--batch-size", "8")
    assert other.returncode == 4
    assert "it was run with another matrix" in other.stderr + other.stdout


def test_two_runs_in_one_directory(
    start_bench: Callable[..., subprocess.Popen[str]], bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    tiny()
    out = tmp_path / "out"
    first = start_bench("--workload", "tiny.py:make", *QUICK, "--output", str(out))
    until = time.monotonic() + 30
    while not (out / ".lock").exists() and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.3)
    second = bench("--workload", "tiny.py:make", *QUICK, "--output", str(out))
    assert second.returncode == 4
    assert f"another run (process {first.pid}) is writing there" in second.stderr + second.stdout
    first.communicate(timeout=120)
    assert first.returncode == 0
    third = bench("--workload", "tiny.py:make", *QUICK, "--output", str(out))
    assert third.returncode == 4
    assert "holds a run already" in third.stderr + third.stdout


def test_a_disk_that_is_full_ends_with_a_message(tiny: Tiny, tmp_path: Path) -> None:
    tiny()
    # A limit on the size of files fails a write as a full disk does, with another error number.
    limited = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); "
        "sys.argv[0] = 'bench'; runpy.run_module('bench', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, "--workload", "tiny.py:make", *QUICK, "--steps", "500",
         "-p", "no:cacheprovider", "--output", str(tmp_path / "out")],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "cannot be written (File too large)" in done.stdout + done.stderr
    assert "--resume" in done.stdout + done.stderr
    assert not list((tmp_path / "out" / "cases").iterdir())


def test_a_repository_s_own_pytest_and_packages_do_not_disturb_a_run(
    bench: Bench, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("models", "reports"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("mine = True\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -n 4 --device=tpu --nonsense\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not for stepbench')\n")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-n 8")
    tiny(more="import models, reports\nassert models.mine and reports.mine")
    done = bench("--workload", "tiny.py:make", "convnet", *QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 passed" in done.stdout


def test_wrong_usage_ends_with_code_4_and_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    early = bench("--batch-size", "0")
    assert early.returncode == 4
    assert "--batch-size 0: a batch holds at least one sample" in early.stderr
    late = bench("--workload", "convnt")
    assert late.returncode == 4
    assert "did you mean convnet" in late.stderr + late.stdout
    negative = bench("--num-workers", "-1")
    assert negative.returncode == 4
    assert "--num-workers -1" in negative.stderr
    denied = bench("--output", "/proc/stepbench")
    assert denied.returncode == 4
    assert "--output /proc/stepbench: cannot be written" in denied.stderr
    nothing = bench("--resume", str(tmp_path))
    assert nothing.returncode == 4
    assert "holds no run" in nothing.stderr
    assert not list((tmp_path / "results").glob("2*"))


def test_listing_and_help_answer_without_torch(tmp_path: Path) -> None:
    probe = (
        "import sys; from bench.__main__ import main; code = main(sys.argv[1:]); "
        "assert 'torch' not in sys.modules; raise SystemExit(code)"
    )
    for arguments, told in (
        (["--help"], "--num-workers N [N ...]"),
        (["--collect-only"], "8 cases:"),
        (["--collect-only", "-q", "--batch-size", "7", "-k", "w0"], "convnet-cpu-b7-w0-off-fp32"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", probe, *arguments],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert told in done.stdout
    assert not (tmp_path / "results").exists()
