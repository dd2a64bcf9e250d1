"""Runs whose disk is full, nearly full, or read-only."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import stepbench_reports
from support.small_disk import mounted

Bench = Callable[..., subprocess.CompletedProcess[str]]
Tiny = Callable[..., Path]

QUICK = ("--num-workers", "0", "--batch-size", "4", "--compile", "off", "--steps", "3",
         "--no-parity", "-p", "no:cacheprovider")  # fmt: skip
FILLS = """
    import pathlib

    def fill(self, index):
        scratch = pathlib.Path(OUT, "scratch")
        scratch.mkdir(exist_ok=True)
        try:
            with open(scratch / "file", "ab", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        except OSError:
            return torch.full((8,), index / 64), index % 2

    Data.__getitem__ = fill
"""
"""A data set that fills the disk by a temporary file of the run."""


def test_a_run_on_a_disk_that_its_scratch_has_filled_is_reported(
    bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk", 16) as disk:
        tiny("first.py")
        tiny("second.py", FILLS.replace("OUT", repr(str(disk / "out"))))
        arguments = ("--workload", "first.py:make", "second.py:make", *QUICK, "--one-at-a-time")
        done = bench(*arguments, "--output", str(disk / "out"))
        output = done.stdout + done.stderr
        assert done.returncode == 1, output
        assert "cannot be written (No space left on device)" in output
        assert "Traceback" not in output
        assert "INTERNALERROR" not in output
        run = stepbench_reports.load(disk / "out")
        assert [measurement.status for measurement in run.measurements] == ["ok", "not measured"]
        assert "first" in (disk / "out" / "report.md").read_text()
        assert (disk / "out" / "report.html").stat().st_size
        assert json.loads((disk / "out" / "benchmark.json").read_text())["benchmarks"]
        assert not (disk / "out" / "scratch").exists()


def test_a_disk_with_too_little_space_is_refused_before_anything_is_measured(
    bench: Bench, tiny: Tiny, tmp_path: Path
) -> None:
    tiny()
    with mounted(tmp_path / "disk", 2) as disk:
        done = bench("--workload", "tiny.py:make", *QUICK, "--output", str(disk / "out"))
        assert done.returncode == 4
        assert "2 MiB are free there, and the run needs about 4 MiB" in done.stdout + done.stderr
        assert list(disk.iterdir()) == []
