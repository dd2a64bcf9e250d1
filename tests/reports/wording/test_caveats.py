from pathlib import Path
from typing import Any

import pytest

from stepbench_reports.read.run_directory import load
from stepbench_reports.wording.caveats import caveats
from support import synthetic


def noted(tmp_path: Path, change: Any, **facts: Any) -> str:
    files = synthetic.two_cases(change)
    return "\n".join(caveats(load(synthetic.write_run(tmp_path / "run", files, **facts))))


def test_quiet_runs_have_no_notes(tmp_path: Path) -> None:
    assert not noted(tmp_path, None)


def test_blocks_set_aside_are_counted(tmp_path: Path) -> None:
    def busy(file: dict[str, Any]) -> None:
        file["noise"] = synthetic.noise(file["blocks"], set_aside=3)

    said = noted(tmp_path, busy)
    assert said == "6 of 22 blocks were set aside, as others disturbed them, and measured again."


def test_disturbed_cases_say_by_what(tmp_path: Path) -> None:
    def busy(file: dict[str, Any]) -> None:
        if file["case"]["compile"] == "off":
            return
        file["noise"] = synthetic.noise(file["blocks"], set_aside=1, disturbed=True)
        file["noise"]["blocks"][0] |= {"others": 0.234, "steal": 0.07, "throttled": "heat"}

    said = noted(tmp_path, busy)
    assert "! Disturbed in default: others were at work around more than a fifth" in said
    assert "others' work took up to 23 % of the cores; the machine's host took up to 7 %" in said
    assert "the device was throttled by heat" in said
    assert "40 %" not in said  # of a block that was set aside


def test_the_price_of_waiting_at_every_lap(tmp_path: Path) -> None:
    def isolated(file: dict[str, Any]) -> None:
        file["settings"]["sync_phases"] = True
        file["blocks"] = synthetic.blocks(20, 0.015, 0.010)

    said = noted(tmp_path, isolated)
    assert "With --sync-phases the device was waited for at every lap in off, default" in said
    assert "steps took up to 1.50 times as long for it" in said
    assert "apart" not in said  # which waiting explains


@pytest.mark.parametrize("bare", [0, 2])
def test_a_speed_up_of_medians_is_called_one(tmp_path: Path, bare: int) -> None:
    def few(file: dict[str, Any]) -> None:
        kept = [block for block in file["blocks"] if block["kind"] == "bare"][:bare]
        file["blocks"] = [b for b in file["blocks"] if b["kind"] == "lapped"] + kept

    said = noted(tmp_path, few)
    assert "The speed-up is that of median steps in default: with fewer than 3 bare blocks" in said


def test_more_than_the_ceiling_is_said_to_be_the_ceiling_s_fault(tmp_path: Path) -> None:
    ceilings = {"cpu": synthetic.peaks(matmul_flops_per_s={"fp32": 1.0e10})}
    said = noted(tmp_path, None, ceilings=ceilings)  # 0.124 GFLOP in 10 ms and in 8 ms
    assert (
        "More arithmetic than this machine's ceiling in off, default (155 % of it at most)" in said
    )
    assert "the ceiling was measured too low" in said
