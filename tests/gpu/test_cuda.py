"""Tests on a real GPU: both clocks, transfers, memory, compilation and parity."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from stepbench.devices.kinds import kind_of
from stepbench.measurement.laps import LapTimer
from stepbench_reports.schema.phases import Phase

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="this machine has no CUDA device"
)


def test_work_queued_in_one_phase_does_not_count_in_the_next() -> None:
    device = torch.device("cuda")
    clock = kind_of("cuda").clock("cuda")
    matrix = torch.randn(4096, 4096, device=device)
    matrix @ matrix
    clock.synchronize()
    timer = LapTimer(clock)
    timer.begin()
    for _ in range(5):
        for _ in range(10):
            matrix @ matrix
        timer.lap(Phase.FORWARD)
        timer.lap(Phase.BACKWARD)  # no work was queued in this phase
        timer.end_step()
    laps = timer.read()
    assert laps.device is not None
    assert laps.device["backward"].sum() < 0.02 * laps.device["forward"].sum()
    assert laps.host["forward"].sum() < laps.device["forward"].sum()


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
