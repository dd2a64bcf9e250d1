"""Wrong usage, help and listings of `stepbench run`."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Bench = Callable[..., subprocess.CompletedProcess[str]]

PROBE = (
    "import sys; from stepbench.benchmarks.session import main; code = main(sys.argv[1:]); "
    "assert 'torch' not in sys.modules; raise SystemExit(code)"
)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--batch-size", "0"), "--batch-size 0: a batch holds at least one sample"),
        (("--workload", "convnt"), "did you mean convnet"),
        (("--batchsize", "4"), "--batchsize: there is no such option; did you mean --batch-size?"),
        (("--num-workers", "-1"), "--num-workers -1"),
        (("--output", "/proc/stepbench"), "--output /proc/stepbench: cannot be written"),
        (("--resume", "."), "holds no run"),
        (("--junitxml", "/proc/x"), "--junitxml /proc/x: cannot be written (No such file"),
        (("--log-file", "/proc/x"), "--log-file /proc/x: cannot be written (No such file"),
        (("--benchmark-json", "."), "--benchmark-json .: cannot be written (Is a directory)"),
        (
            ("--device", "cpu", "--profile", "--memory-snapshot"),
            "--memory-snapshot: only CUDA records allocations",
        ),
    ],
)
def test_wrong_usage_ends_with_code_4_and_leaves_nothing(
    bench: Bench, tmp_path: Path, arguments: tuple[str, ...], text: str
) -> None:
    done = bench(*arguments)
    assert done.returncode == 4
    assert text in done.stderr + done.stdout
    assert not list((tmp_path / "results").glob("2*"))


def test_the_cases_are_listed_and_nothing_else(bench: Bench) -> None:
    cases = [f"convnet-cpu-b{size}-w0-off-fp32" for size in (4, 7)]
    arguments = ("--collect-only", "--batch-size", "4", "7", "--num-workers", "0",
                 "--compile", "off", "--device", "cpu")  # fmt: skip
    assert bench(*arguments).stdout.rstrip().splitlines() == [
        "2 cases:",
        *(f"  {case}" for case in cases),
    ]
    assert bench(*arguments, "-q").stdout.rstrip().splitlines() == cases
    assert "<Function test_phase[" in bench(*arguments, "-v").stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--help"], "--num-workers N [N ...]"),
        (["--collect-only"], "8 cases:"),
        (["--collect-only", "-q", "--batch-size", "7", "-k", "w0"], "convnet-cpu-b7-w0-off-fp32"),
    ],
)
def test_listing_and_help_answer_without_torch(
    tmp_path: Path, arguments: list[str], text: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert text in done.stdout
    assert not (tmp_path / "results").exists()
