"""Runs that are cut off: by Ctrl-C, by a kill, by a full disk. Their processes are real ones."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from support.warm import WarmCommands

Bench = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., "subprocess.Popen[str]"]
Tiny = Callable[..., Path]

QUICK = ("--num-workers", "2", "--batch-size", "4", "--compile", "off", "--steps", "3",
         "--no-parity")  # fmt: skip
BLOCKED = """
    import pathlib

    def wait(self, index):
        if not pathlib.Path("go").exists():
            pathlib.Path("there").touch()
            time.sleep(600)
        return torch.ones(8), 0

    Data.__getitem__ = wait
"""
"""Data that say that they are waited for, until they may go on."""
PATIENCE_S = 300
"""How long a test waits for what takes seconds; it fails by then, however busy the machine is."""


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)


def cut_off(process: "subprocess.Popen[str]", how: signal.Signals) -> str:
    """Ends a run by a signal; what it printed. Nothing of it lives on."""
    tree = psutil.Process(process.pid).children(recursive=True)
    assert tree
    os.kill(process.pid, how)
    output, _ = process.communicate(timeout=PATIENCE_S)
    _, alive = psutil.wait_procs(tree, timeout=PATIENCE_S)
    assert not alive
    return output


def test_a_run_that_was_cut_off_twice_is_resumed(
    start_bench: Start, bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    tiny("first.py")
    tiny("second.py", BLOCKED)
    out, there = tmp_path / "out", tmp_path / "there"
    asked = ("--workload", "first.py:make", "second.py:make", *QUICK, "--output", str(out))
    process = start_bench(*asked)
    wait_for(there, process)
    first = out / "cases" / "first-cpu-b4-w2-off-fp32.json"
    kept = first.read_bytes()

    beside = bench(*asked)
    assert beside.returncode == 4
    assert f"another run (process {process.pid}) is writing there" in beside.stderr + beside.stdout

    output = cut_off(process, signal.SIGINT)
    assert process.returncode == 2
    assert "first" in (out / "report.md").read_text()
    assert "1 of 2 cases not measured" in output

    there.unlink()
    process = start_bench("--resume", str(out))
    wait_for(there, process)
    cut_off(process, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL

    # A truncated file, as a crash of the machine may leave it, is measured again.
    (out / "cases" / "second-cpu-b4-w2-off-fp32.json").write_bytes(kept[:100])
    (tmp_path / "go").touch()
    again = bench("--resume", str(out))
    assert again.returncode == 0, again.stdout + again.stderr
    assert first.read_bytes() == kept
    statuses = [json.loads(p.read_text())["status"] for p in (out / "cases").glob("*.json")]
    assert statuses == ["ok", "ok"]
    assert "[1/1] second" in again.stdout

    other = bench("--resume", str(out), "--batch-size", "8")
    assert other.returncode == 4
    assert "it was run with another matrix" in other.stderr + other.stdout
    anew = bench(*asked)
    assert anew.returncode == 4
    assert "holds a run already" in anew.stderr + anew.stdout


def test_a_run_that_is_killed_while_it_profiles_leaves_whole_files_only(
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
    wait_for(tmp_path / "there", process)
    cut_off(process, signal.SIGKILL)
    run = tmp_path / "out"
    assert not (run / "tb").exists()
    assert not (run / "traces").exists()
    assert not list(run.glob("profiles/*"))

    (tmp_path / "go").touch()
    done = bench("--resume", "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 cases are there already" in done.stdout
    board = run / "tb" / "tiny" / "cpu-b4-w2-off-fp32"
    (trace,) = (board / "profile").iterdir()
    assert json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    assert any("tfevents" in file.name for file in board.iterdir())
    assert not (run / "scratch").exists()


# A limit on the size of files fails a write as a full disk does, with another error number.
LIMITED = (
    "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); "
    "sys.argv[0] = 'stepbench'; runpy.run_module('stepbench', run_name='__main__')"
)


def test_a_disk_that_is_full_ends_with_a_message(
    commands: WarmCommands, tiny: Tiny, tmp_path: Path
) -> None:
    tiny()
    done = commands.run(
        [sys.executable, "-c", LIMITED, "run", "--workload", "tiny.py:make", *QUICK,
         "--steps", "500", "-p", "no:cacheprovider", "--output", str(tmp_path / "out")],
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "cannot be written (File too large)" in done.stdout + done.stderr
    assert "--resume" in done.stdout + done.stderr
    assert not list((tmp_path / "out" / "cases").iterdir())
