"""Profiles of a user's own workload, in real runs."""

import gzip
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

Bench = Callable[..., subprocess.CompletedProcess[str]]
Tiny = Callable[..., Path]

QUICK = (
    "--batch-size", "4", "--num-workers", "0", "--compile", "off", "--steps", "4", "--no-parity",
    "--threads", "1", "--profile",
)  # fmt: skip


def test_what_a_workload_does_not_have_is_left_out_and_said(
    bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    tiny()
    done = bench(
        "--workload", "tiny.py:make", "--loop", "train", "eval", *QUICK, "--accumulate", "2",
        "--profile-steps", "2", "--profile-workers", "--profile-stack", "--output", "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 passed" in done.stdout  # each phase, each step, and two profiles
    run = tmp_path / "out"
    names = ("tiny-cpu-b4-acc2-w0-off-fp32", "tiny-eval-cpu-b4-w0-off-fp32")
    trained, tested = (
        json.loads((run / "profiles" / f"{name}.json").read_text())["profile"] for name in names
    )
    assert set(trained["board"]["left_out"]) == {"images", "projector", "pr_curves"}
    assert len(trained["curves"]["loss"]) in range(200, 2001, 200)
    assert trained["curves"]["accuracy"] == []
    assert tested["curves"] is None
    assert trained["breakdown"]["steps"] == tested["breakdown"]["steps"] == 2
    assert set(tested["breakdown"]["phase_s"]) == {"dataload", "forward"}
    assert trained["workers"][0]["seconds"].keys() == {"read", "collate", "hand over"}
    original = json.loads(
        gzip.decompress((run / "traces" / f"{names[0]}.pt.trace.json.gz").read_bytes())
    )
    marks = [e["name"] for e in original["traceEvents"] if e.get("cat") == "user_annotation"]
    assert marks.count("backward") == 2 * 2  # two micro-batches to a step
    assert marks.count("optimizer") == 2
    assert any(e.get("cat") == "python_function" for e in original["traceEvents"])
    assert not (run / "scratch").exists()
    report = (run / "report.md").read_text()
    assert "no images: its batches hold no images" in report
    assert (run / "operators.csv").exists()


def test_a_run_that_is_killed_while_it_profiles_leaves_whole_files_only(
    start_bench: Callable[..., subprocess.Popen[str]], bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    tiny(
        more="import dataclasses, pathlib\nold = make\n"
        "class Slow(Data):\n"
        "    def __getitem__(self, index):\n"
        "        if not pathlib.Path('go').exists():\n"
        "            pathlib.Path('there').touch()\n"
        "            time.sleep(600)\n"
        "        return super().__getitem__(index)\n"
        "def make():\n"
        "    return dataclasses.replace(old(), test_dataset=Slow,\n"
        "        metric=lambda scores, labels: (scores.argmax(1) == labels).sum())\n"
    )
    arguments = ("--workload", "tiny.py:make", *QUICK, "--output", "out")
    process = start_bench(*arguments)
    until = time.monotonic() + 120
    while not (tmp_path / "there").exists():
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(children, timeout=30)
    run = tmp_path / "out"
    assert not (run / "tb").exists()
    assert not (run / "traces").exists()
    assert not list((run / "profiles").glob("*")) if (run / "profiles").exists() else True

    (tmp_path / "go").touch()
    done = bench("--resume", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 cases are there already" in done.stdout
    board = run / "tb" / "tiny" / "cpu-b4-w0-off-fp32"
    (trace,) = (board / "profile").iterdir()
    assert json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    assert any("tfevents" in file.name for file in board.iterdir())
    assert not (run / "scratch").exists()


def test_a_snapshot_that_no_device_can_give_is_refused(bench: Bench, tiny: Tiny) -> None:
    tiny()
    done = bench("--workload", "tiny.py:make", *QUICK, "--device", "cpu", "--memory-snapshot")
    assert done.returncode == 4
    assert "--memory-snapshot: only CUDA records its allocations" in done.stdout + done.stderr
