"""Tests on a real GPU: both clocks, transfers, memory, compilation and parity."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("gpus")


def test_work_queued_in_one_phase_does_not_count_in_the_next() -> None:
    script = Path(__file__).with_name("queued_work.py")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    laps = json.loads(done.stdout)
    assert laps["device"]["backward"] < 0.02 * laps["device"]["forward"]
    assert laps["host"]["forward"] < laps["device"]["forward"]


def test_a_small_matrix(
    bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = bench(
        "--device", "cuda", "--batch-size", "32", "--num-workers", "0", "2", "--compile", "off",
        "default", "--pin-memory", "on", "--non-blocking", "on", "--precision", "fp32", "bf16",
        "--steps", "50", "--output", str(out), timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for file in (out / "cases").glob("*.json"):
        case = json.loads(file.read_text())
        assert case["status"] == "ok", case
        laps_by_clock = case["laps"]
        phases = ["dataload", "transfer", "forward", "backward", "optimizer"]
        for laps in laps_by_clock.values():
            total = np.sum([laps[phase] for phase in phases], axis=0)
            np.testing.assert_allclose(total, laps["step"], rtol=0.01)
        assert case["memory"]["device_peak_allocated_bytes"] > 0
    judgements = [json.loads(file.read_text())["judgement"] for file in (out / "parity").iterdir()]
    assert {judgement["verdict"] for judgement in judgements} == {"pass"}


def test_a_profile_shows_the_device_s_work(
    bench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = bench(
        "--device", "cuda", "--batch-size", "32", "--num-workers", "0", "--compile", "off",
        "--steps", "20", "--no-parity", "--profile", "--memory-snapshot", "--output", str(out),
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (out / "profiles").iterdir()
    profile = json.loads(file.read_text())["profile"]
    device_s = dict.fromkeys(("transfer", "forward", "backward", "optimizer"), 0.0)
    for row in profile["breakdown"]["rows"]:
        if row["phase"] in device_s:
            device_s[row["phase"]] += row["device_self_s"]
    assert all(seconds > 0 for seconds in device_s.values()), device_s
    assert 0 <= profile["breakdown"]["device_idle"]["0"] < 1
    assert profile["breakdown"]["memory_peak_bytes"]["0"] > 0
    (snapshot,) = (out / "snapshots").iterdir()
    assert snapshot.stat().st_size == profile["snapshot_bytes"]
