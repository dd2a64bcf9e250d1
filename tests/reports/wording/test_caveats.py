from pathlib import Path
from typing import Any

import pytest

from stepbench_reports.read.run_directory import load
from stepbench_reports.wording.caveats import caveats
from support import synthetic


def notes(tmp_path: Path, change: Any, **facts: Any) -> str:
    files = synthetic.two_cases(change)
    return "\n".join(caveats(load(synthetic.write_run(tmp_path / "run", files, **facts))))


def test_quiet_runs_have_no_notes(tmp_path: Path) -> None:
    assert not notes(tmp_path, None)


def test_skipped_cuda_graphs_are_mentioned(tmp_path: Path) -> None:
    def skipped(file: dict[str, Any]) -> None:
        if file["compile"] is not None:
            file["compile"]["cuda_graph_skips"] = 2

    text = notes(tmp_path, skipped)
    assert text.startswith("Torch skipped CUDA graphs in default:")


def test_discarded_blocks_are_counted(tmp_path: Path) -> None:
    def busy(file: dict[str, Any]) -> None:
        file["noise"] = synthetic.noise(file["blocks"], discarded=3)

    text = notes(tmp_path, busy)
    assert text == "6 of 22 blocks were discarded because of interference and measured again."


def test_causes_of_interference_are_named(tmp_path: Path) -> None:
    def busy(file: dict[str, Any]) -> None:
        if file["case"]["compile"] == "off":
            return
        file["noise"] = synthetic.noise(file["blocks"], discarded=1, interference=True)
        file["noise"]["blocks"][0] |= {"others": 0.234, "steal": 0.07, "throttled": "heat"}

    text = notes(tmp_path, busy)
    assert "! Interference in default: more than a fifth of the blocks" in text
    assert "other processes took up to 23 % of the cores; the hypervisor took up to 7 %" in text
    assert "the device was throttled by heat" in text
    assert "40 %" not in text  # of a discarded block


def test_the_cost_of_synchronizing_at_every_lap(tmp_path: Path) -> None:
    def isolated(file: dict[str, Any]) -> None:
        file["settings"]["sync_phases"] = True
        file["blocks"] = synthetic.blocks(20, 0.015, 0.010)

    text = notes(tmp_path, isolated)
    assert "--sync-phases synchronizes with the device at every lap in off, default" in text
    assert "steps took up to 1.50 times as long" in text
    assert "differ by" not in text  # synchronizing explains the difference


@pytest.mark.parametrize("bare", [0, 2])
def test_a_speed_up_of_medians_is_mentioned(tmp_path: Path, bare: int) -> None:
    def few(file: dict[str, Any]) -> None:
        bare_blocks = [block for block in file["blocks"] if block["kind"] == "bare"][:bare]
        file["blocks"] = [b for b in file["blocks"] if b["kind"] == "lapped"] + bare_blocks

    text = notes(tmp_path, few)
    assert "The speed-up compares median steps in default: with fewer than 3 bare blocks" in text


def test_a_peak_that_a_case_exceeds_was_measured_too_low(tmp_path: Path) -> None:
    machine_peaks = {"cpu": synthetic.peaks(matmul_flops_per_s={"fp32": 1.0e10})}
    text = notes(tmp_path, None, machine_peaks=machine_peaks)  # 0.124 GFLOP in 10 ms and in 8 ms
    assert "More than this machine's peak throughput in off, default (up to 155 % of it)" in text
    assert "the peak was measured too low" in text
