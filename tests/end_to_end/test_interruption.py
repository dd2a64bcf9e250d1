"""Runs in real processes that are interrupted: by Ctrl-C, by a kill, by a full disk."""

import gzip
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import stepbench_reports
from support.warm import WarmCommands

Bench = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[str]"]
Tiny = Callable[..., Path]

QUICK = ("--num-workers", "2", "--batch-size", "4", "--compile", "off", "--steps", "3",
         "--no-parity")  # fmt: skip
BLOCKED = """
    import pathlib

    def wait(self, index):
        if pathlib.Path(AFTER).exists() and not pathlib.Path("go").exists():
            pathlib.Path("waiting").touch()
            time.sleep(600)
        return torch.ones(8), 0

    AFTER = "."
    Data.__getitem__ = wait
"""
"""A dataset that blocks until the file `go` exists, and creates the file `waiting`."""
TIMEOUT_S = 300
"""The longest wait for things that usually take seconds, even on a busy machine."""


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def interrupt(process: "subprocess.Popen[str]", number: signal.Signals) -> str:
    """Ends a run by a signal; returns its output. None of its processes survives."""
    tree = psutil.Process(process.pid).children(recursive=True)
    assert tree
    os.kill(process.pid, number)
    output, _ = process.communicate(timeout=TIMEOUT_S)
    _, alive = psutil.wait_procs(tree, timeout=TIMEOUT_S)
    assert not alive
    return output


def test_cases_that_were_finished_are_kept_and_the_others_are_measured(
    start_bench: Start, bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    tiny("first.py")
    tiny("second.py", BLOCKED)
    out, waiting = tmp_path / "out", tmp_path / "waiting"
    arguments = (
        "--workload", "first.py:make", "second.py:make", *QUICK, "--one-at-a-time", "--output",
        str(out),
    )  # fmt: skip
    process = start_bench(*arguments)
    wait_for(waiting, process)
    first = out / "cases" / "first-cpu-b4-w2-off-fp32.json"
    stored = first.read_bytes()

    second = bench(*arguments)
    assert second.returncode == 4
    assert f"in use by another run (process {process.pid})" in second.stderr + second.stdout

    output = interrupt(process, signal.SIGINT)
    assert process.returncode == 2
    assert "first" in (out / "report.md").read_text()
    assert "1 of 2 cases not measured" in output

    waiting.unlink()
    process = start_bench("--resume", str(out))
    wait_for(waiting, process)
    interrupt(process, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL

    # A truncated file, as a crash of the machine may leave it, is measured again.
    (out / "cases" / "second-cpu-b4-w2-off-fp32.json").write_bytes(stored[:100])
    (tmp_path / "go").touch()
    resumed = bench("--resume", str(out))
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert first.read_bytes() == stored
    statuses = [json.loads(p.read_text())["status"] for p in (out / "cases").glob("*.json")]
    assert statuses == ["ok", "ok"]
    assert "[1/1] second" in resumed.stdout
    run = stepbench_reports.load(out)
    assert not run.ratio_of(run.measured[0], run.measured[1]).paired

    other = bench("--resume", str(out), "--batch-size", "8")
    assert other.returncode == 4
    assert "the run has other cases" in other.stderr + other.stdout
    again = bench(*arguments)
    assert again.returncode == 4
    assert "already holds a run" in again.stderr + again.stdout


def test_an_interrupted_group_keeps_its_generations_and_is_measured_again(
    start_bench: Start, bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    cases, waiting = tmp_path / "out" / "cases", tmp_path / "waiting"
    names = ("first", "second")
    files = {name: cases / f"{name}-cpu-b4-w0-off-fp32.json" for name in names}
    tiny("first.py")
    # The file is written after the first generation, so the second one blocks.
    tiny("second.py", f"{textwrap.dedent(BLOCKED)}\nAFTER = {str(files['second'])!r}")
    process = start_bench(
        "--workload", *(f"{name}.py:make" for name in names), "--batch-size", "4",
        "--num-workers", "0", "--compile", "off", "--generations", "2", "--max-time", "1",
        "--no-parity", "--output", "out",
    )  # fmt: skip
    wait_for(waiting, process)
    output = interrupt(process, signal.SIGHUP)
    assert process.returncode == 2
    assert "2 of 2 cases not measured to the end; measure them with:" in output
    assert "\n  stepbench run --resume out\n" in output
    assert "0 of 2 cases measured, 2 not measured, interrupted after 0:" in output
    assert "KeyboardInterrupt" not in output
    assert "PytestBenchmarkWarning" not in output
    for file in files.values():
        sampling = json.loads(file.read_text())["sampling"]
        assert (sampling["stopped"], sampling["generations"]) == ("interrupted", 1)

    waiting.unlink()
    process = start_bench("--resume", "out")
    wait_for(waiting, process)
    interrupt(process, signal.SIGKILL)
    assert all(json.loads(file.read_text())["status"] == "ok" for file in files.values())

    (tmp_path / "go").touch()
    resumed = bench("--resume", "out")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "already measured" not in resumed.stdout
    for file in files.values():
        sampling = json.loads(file.read_text())["sampling"]
        assert sampling["stopped"] in {"precise", "time"}
        assert sampling["generations"] >= 2
    run = stepbench_reports.load(tmp_path / "out")
    ratio = run.ratio_of(run.measured[0], run.measured[1])
    assert ratio.paired
    assert 0 < ratio.interval.low <= ratio.interval.value <= ratio.interval.high


def test_a_run_that_is_killed_while_profiling_leaves_no_partial_files(
    start_bench: Start, bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    tiny(
        more="import dataclasses\nold = make\nclass Slow(Data):\n    pass\n"
        "def make():\n"
        "    return dataclasses.replace(old(), test_dataset=Slow,\n"
        "        metric=lambda scores, labels: (scores.argmax(1) == labels).sum())\n"
    )
    source = (tmp_path / "tiny.py").read_text()
    blocked = "\n".join(line.removeprefix("    ") for line in BLOCKED.splitlines())
    (tmp_path / "tiny.py").write_text(source + blocked.replace("Data.__", "Slow.__"))
    process = start_bench(
        "--workload", "tiny.py:make", *QUICK, "--threads", "1", "--profile", "--output", "out"
    )
    wait_for(tmp_path / "waiting", process)
    interrupt(process, signal.SIGKILL)
    run = tmp_path / "out"
    assert not (run / "tb").exists()
    assert not (run / "traces").exists()
    assert not list(run.glob("profiles/*"))

    (tmp_path / "go").touch()
    done = bench("--resume", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "already measured: 1 of 1 case" in done.stdout
    board = run / "tb" / "tiny" / "cpu-b4-w2-off-fp32"
    (trace,) = (board / "profile").iterdir()
    assert json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    assert any("tfevents" in file.name for file in board.iterdir())
    assert not (run / "scratch").exists()


LEAVES_A_SESSION = """
    import subprocess
    subprocess.Popen(["sleep", "600"], start_new_session=True)
"""


def test_a_run_goes_on_after_its_server_was_killed_and_ends_what_cases_leave_behind(
    start_bench: Start, tiny: Tiny, tmp_path: Path
) -> None:
    tiny(more=textwrap.dedent(BLOCKED) + textwrap.dedent(LEAVES_A_SESSION))
    process = start_bench("--workload", "tiny.py:make", *QUICK, "--output", "out")
    wait_for(tmp_path / "waiting", process)
    tree = psutil.Process(process.pid).children(recursive=True)
    (server,) = psutil.Process(process.pid).children()
    (tmp_path / "go").touch()
    server.kill()
    output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, output
    _, alive = psutil.wait_procs(tree, timeout=TIMEOUT_S)
    assert not alive
    assert output.count("it is started again") == 1
    left_behind = "tiny-cpu-b4-w2-off-fp32: left 1 process running, and stepbench ended"
    assert left_behind in output
    assert "sleep (1)" in (tmp_path / "out" / "run.log").read_text()
    assert len(stepbench_reports.load(tmp_path / "out").measured) == 1


BLOCKS_REPORTS = """
import pathlib, time
import stepbench_reports

def write(path):
    pathlib.Path("waiting").touch()
    time.sleep(600)

stepbench_reports.write = write
"""
"""A plugin of pytest that blocks where reports are made."""


def test_a_signal_while_reports_are_made_leaves_the_measurements(
    start_bench: Start, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny()
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "blocks_reports.py").write_text(BLOCKS_REPORTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "plugins"))
    process = start_bench(
        "--workload", "tiny.py:make", *QUICK, "--output", "out", "-p", "blocks_reports"
    )
    wait_for(tmp_path / "waiting", process)
    output = interrupt(process, signal.SIGTERM)
    assert process.returncode == 2
    assert "make them with: stepbench report out" in output
    assert "Traceback" not in output
    assert not (tmp_path / "out" / "compile-cache").exists()
    assert len(stepbench_reports.load(tmp_path / "out").measured) == 1


# A limit on the size of files fails a write as a full disk does, with another error number. A
# compiled module that is cut off would break later tests.
LIMITED = (
    "import resource, runpy, sys; sys.dont_write_bytecode = True; "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); "
    "sys.argv[0] = 'stepbench'; runpy.run_module('stepbench', run_name='__main__')"
)


def test_a_disk_that_is_full_ends_with_a_message(
    commands: WarmCommands, tiny: Tiny, tmp_path: Path
) -> None:
    tiny()
    done = commands.run(
        [sys.executable, "-c", LIMITED, "run", "--workload", "tiny.py:make", *QUICK,
         "--steps", "500", "-p", "no:cacheprovider", "--output", str(tmp_path / "out")],
        cwd=tmp_path, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "cannot be written (File too large)" in done.stdout + done.stderr
    assert "--resume" in done.stdout + done.stderr
    assert not list((tmp_path / "out" / "cases").iterdir())
