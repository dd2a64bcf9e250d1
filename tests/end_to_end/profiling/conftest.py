"""Fixtures: a real run with profiles, and a real TensorBoard that shows it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stepbench.profiling import chrome_trace
from stepbench_reports.schema.files import TRACE_SUFFIX
from support import gpu_trace
from support.board import Board
from support.warm import WarmCommands

TIMEOUT_S = 300
GPU_RUN = "gpu/profile"
"""TensorBoard's name of a generated trace from a GPU."""


@pytest.fixture(scope="session")
def profiled_run(
    tmp_path_factory: pytest.TempPathFactory, cache: Path, commands: WarmCommands
) -> Path:
    """A run of two cases of the lesson, with every kind of profile."""
    directory = tmp_path_factory.mktemp("profiled")
    done = commands.run(
        [
            sys.executable, "-m", "stepbench", "run", "--batch-size", "4", "--num-workers", "0",
            "--precision", "fp32", "bf16", "--compile", "off", "--steps", "12", "--no-parity",
            "--threads", "1", "--profile", "--profile-workers", "--output", "out",
        ],
        cwd=directory, env={**os.environ, "STEPBENCH_CACHE_DIR": str(cache)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return directory / "out"


@pytest.fixture(scope="session")
def board(profiled_run: Path) -> Iterator[Board]:
    """TensorBoard for the run, with a trace from a GPU beside the run's cases."""
    trace = profiled_run / "tb" / Path(GPU_RUN) / f"cuda.1{TRACE_SUFFIX}"
    chrome_trace.write(chrome_trace.for_tensorboard(gpu_trace.content()), trace)
    with subprocess.Popen(
        [
            sys.executable, "-m", "stepbench", "tensorboard", str(profiled_run),
            "--host", "127.0.0.1", "--port", "0", "--load_fast", "false", "--reload_interval", "1",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            yield _wait(process, profiled_run)
        finally:
            (child,) = psutil.Process(process.pid).children()
            process.terminate()
            process.wait(timeout=120)
            assert not child.is_running()  # TensorBoard ends with its parent


def _wait(process: subprocess.Popen[str], run: Path) -> Board:
    """Waits until TensorBoard accepts requests and has loaded all data."""
    assert process.stdout is not None
    before = ""
    for line in process.stdout:
        if match := re.search(r"(http://127\.0\.0\.1:\d+)/#timeseries ", line):
            break
        before += line
    else:
        raise AssertionError("TensorBoard ended")
    assert before.count("\n") == 1  # nothing of the plugin's
    assert str(run / "traces") in before
    board, deadline = Board(run, match[1]), time.monotonic() + TIMEOUT_S
    plugins = {"scalars", "hparams", "images", "graphs", "projector", "pr_curves",
               "pytorch_profiler"}  # fmt: skip
    while time.monotonic() < deadline:
        listed = board.get("plugins_listing")
        runs = board.get("plugin/pytorch_profiler/runs")
        if (
            plugins <= {name for name, facts in listed.items() if facts["enabled"]}
            and len(runs["runs"]) == 3
            and not runs["loading"]
        ):
            return board
        time.sleep(0.5)
    raise AssertionError(f"not all data is loaded after {TIMEOUT_S} s: {listed} {runs}")
