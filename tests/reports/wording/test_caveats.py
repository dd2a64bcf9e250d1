import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from stepbench_reports.read.run_directory import load
from stepbench_reports.render.markdown import render
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


def test_processes_that_outlived_a_case_are_named(tmp_path: Path) -> None:
    def leaving(file: dict[str, Any]) -> None:
        if file["case"]["compile"] == "off":
            file["left_behind"] = {"sleep": 80, "tracker": 1}

    assert notes(tmp_path, leaving) == (
        "Processes were still running at the end of their case in off (at most 81: sleep, "
        "tracker), and were ended. A workload should end what it starts."
    )


def test_turns_that_were_left_out_are_counted(tmp_path: Path) -> None:
    def busy(file: dict[str, Any]) -> None:
        file["noise"] = synthetic.noise(file["blocks"], discarded=3)

    assert notes(tmp_path, busy) == (
        "6 of 22 turns were left out: their threads waited for a core for longer than is usual "
        "for the case, something was compiled, or the device was throttled."
    )


def test_suspended_turns_are_counted_by_reason(tmp_path: Path) -> None:
    def suspended(file: dict[str, Any]) -> None:
        file["noise"] = synthetic.noise(file["blocks"], discarded=2)
        blocks = file["noise"]["blocks"]
        blocks[-2:] = [blocks[-1] | {"suspended": why} for why in ("process stopped", "clock set")]

    assert notes(tmp_path, suspended).endswith(
        "4 turns were suspended, and are in no figure: process stopped (2), clock set (2)."
    )


@pytest.mark.parametrize(("slow_s", "said"), [(0.0030, True), (0.0021, False)])
def test_a_machine_whose_own_speed_varies(tmp_path: Path, slow_s: float, said: bool) -> None:
    def probed(file: dict[str, Any]) -> None:
        for number, turn in enumerate(file["turns"]):
            turn["probe_s"] = slow_s if number % 2 else 0.0020

    # Four in five of the probes are between 2 and 3 ms: sqrt(3 / 2) is 1.22.
    assert notes(tmp_path, probed) == said * (
        "The machine's own speed varied by ±22 % between turns, by a fixed piece of work beside "
        "each. Paired ratios allow for it; other figures hold for the machine as it was."
    )
    run = load(tmp_path / "run")
    assert "- machine's own speed: four of five turns within ±" in render(run)


def test_turns_that_a_cpu_quota_stopped_are_counted(tmp_path: Path) -> None:
    def stopped(file: dict[str, Any]) -> None:
        if file["case"]["compile"] == "off":
            for block, share in zip(file["noise"]["blocks"], (0.3, 0.01, 0.05), strict=False):
                block["quota_stopped"] = share

    assert notes(tmp_path, stopped) == (
        "The container's CPU quota stopped the threads in off in 2 of 8 turns. Lower --threads or "
        "--num-workers, or raise the quota."
    )


@pytest.mark.parametrize(
    ("count", "text"), [(1, "1 other process"), (3, "up to 3 other processes")]
)
def test_other_processes_on_the_gpu(tmp_path: Path, count: int, text: str) -> None:
    def beside(file: dict[str, Any]) -> None:
        for block in file["noise"]["blocks"]:
            block["device_processes"] = 0
        if file["case"]["compile"] != "off":
            file["noise"]["blocks"][1]["device_processes"] = count

    assert notes(tmp_path, beside) == (
        f"The GPU was shared with {text} in default: what they took is in the figures."
    )


def with_slow_turns_left_out(file: dict[str, Any]) -> None:
    """Adds a slow turn that is left out to each generation of the compiled case."""
    if file["case"]["compile"] != "off":
        slow = {"kind": "bare", "steps": 5, "elapsed_s": 0.060, "round": 1, "counts": False}
        file["turns"] += [{**slow, "generation": generation} for generation in range(4)]


def test_both_estimates_of_a_speed_up_are_given_if_they_differ(tmp_path: Path) -> None:
    # 5 steps of 8 ms, and 5 of 12 ms: 10 ms in the mean.
    assert notes(tmp_path, with_slow_turns_left_out).splitlines()[0] == (
        "Interference changed speed-ups by more than their intervals: default 1.00× as it ran, "
        "1.25× without interference."
    )


def test_causes_of_interference_are_named(tmp_path: Path) -> None:
    def busy(file: dict[str, Any]) -> None:
        if file["case"]["compile"] == "off":
            return
        file["noise"] = synthetic.noise(file["blocks"], discarded=9, interference=True)
        file["noise"]["blocks"][0] |= {"others": 0.9}  # of a turn that counts
        left_out = file["noise"]["blocks"].pop()
        left_out |= {"others": 0.634, "steal": 0.07, "throttled": "heat", "quota_stopped": 0.2}
        file["noise"]["blocks"].append(left_out)

    text = notes(tmp_path, busy)
    assert "! Interference in default: more than half of the turns were left out (" in text
    assert "other processes took up to 63 % of the cores; the hypervisor took up to 7 %" in text
    assert "the container's CPU quota stopped threads for up to 20 % of the time; " in text
    assert "the device was throttled by heat), so no comparison includes these cases." in text


def test_a_single_generation_has_no_interval(tmp_path: Path) -> None:
    def alone(file: dict[str, Any]) -> None:
        step_s = file["laps"]["host"]["step"][0]
        lapped = {"kind": "lapped", "steps": 20, "elapsed_s": 20 * step_s}
        file.update(synthetic.sampled([lapped, *synthetic.bare([step_s])]))

    assert notes(tmp_path, alone) == (
        "No interval in off, default: a single generation does not show how far figures differ by "
        "chance. Leave out --steps, or raise --generations."
    )


def test_cases_of_different_groups_are_not_paired(tmp_path: Path) -> None:
    def apart(file: dict[str, Any]) -> None:
        for turn in file["turns"]:
            turn["group"] = int(file["case"]["compile"] != "off")

    assert notes(tmp_path, apart) == (
        "Comparisons in off, default are not paired: the cases did not take turns with the others, "
        "and the machine's drift between them is in the ratios. Measure them in one run, without "
        "--one-at-a-time."
    )


def test_cases_without_a_speed_up_are_not_paired_either(tmp_path: Path) -> None:
    def apart(file: dict[str, Any]) -> None:
        for turn in file["turns"]:
            turn["group"] = int(file["case"]["batch_size"])

    files = [file for file in synthetic.eight_cases() if file["case"]["compile"] == "off"]
    for file in files:
        apart(file)
    run = load(synthetic.write_run(tmp_path / "run", files))
    assert not run.speedups
    # Two cases of each batch size took turns with each other.
    assert not [note for note in caveats(run) if "not paired" in note]
    lone = load(synthetic.write_run(tmp_path / "lone", [files[0], files[-1]]))
    assert any(n.startswith("Comparisons in b4 w0, b32 w2 are not paired") for n in caveats(lone))


@pytest.mark.parametrize(
    ("ended", "together", "said"),
    [
        ("2026-11-24T20:30:00Z", False, True),
        ("2026-11-24T13:20:00Z", False, False),
        ("2026-11-24T20:30:00Z", True, False),  # linked by a case that was measured with both
        (None, False, False),
    ],
)
def test_cases_that_a_resumed_run_measured_hours_apart(
    tmp_path: Path, ended: str | None, together: bool, said: bool
) -> None:
    def resumed(file: dict[str, Any]) -> None:
        compiled = file["case"]["compile"] != "off"
        file["ended"] = ended if compiled else "2026-11-24T12:30:00Z"
        for turn in file["turns"]:
            turn["group"] = int(compiled and not together)

    sentence = (
        "Measurements in default lie up to 8 hours from the first case's (--resume), and "
        "comparisons between them contain what changed on the machine meanwhile. A new run "
        "measures all in turns."
    )
    assert (sentence in notes(tmp_path, resumed)) is said


@pytest.mark.parametrize(("stopped", "named"), [("time", True), ("precise", False)])
def test_speed_ups_that_ran_out_of_time_are_less_precise_than_wanted(
    tmp_path: Path, stopped: str, named: bool
) -> None:
    def imprecise(file: dict[str, Any]) -> None:
        # The compiled case is 1.1 to 1.4 times as fast.
        compiled = file["case"]["compile"] != "off"
        steps_s = [0.010 / (1.1 + 0.1 * n * compiled) for n in range(4)]
        bare = synthetic.bare([0.010] * 4 if not compiled else steps_s)
        lapped = [{"kind": "lapped", "steps": 5, "elapsed_s": 0.05}] * 4
        file.update(synthetic.sampled([*lapped, *bare]))
        file["sampling"]["stopped"] = stopped

    text = notes(tmp_path, imprecise)
    log_half = scipy.stats.t.ppf(0.975, 3) * scipy.stats.sem(np.log([1.1, 1.2, 1.3, 1.4]))
    width = f"{math.sinh(log_half) * 100:.0f} %"
    assert width == "17 %"
    sentence = (
        "Speed-ups less precise than the target of ±2 % in default (±17 % at worst): the time "
        "limit was reached; raise --max-time."
    )
    assert (sentence in text) is named


def test_a_case_that_was_silent_too_long_is_named(tmp_path: Path) -> None:
    def silent(file: dict[str, Any]) -> None:
        if file["case"]["compile"] != "off":
            file["sampling"]["stopped"] = "silent"

    assert notes(tmp_path, silent).startswith(
        "Measuring ended early in default: a process sent nothing for 300 s after generations"
    )
    assert "1 case ended early, when silent for 300 s" in render(load(tmp_path / "run"))


@pytest.mark.parametrize(
    ("lapped_s", "said"),
    [
        ([0.0125] * 4, "Laps cost more than 2 % of a step in off, default (with / without 1.25×"),
        ([0.0101] * 4, ""),
        ([0.0095, 0.0140, 0.0105, 0.0098], ""),  # by chance
        ([0.0090] * 4, ""),
    ],
)
def test_laps_that_make_a_step_longer(tmp_path: Path, lapped_s: list[float], said: str) -> None:
    def costly(file: dict[str, Any]) -> None:
        lapped = [{"kind": "lapped", "steps": 5, "elapsed_s": 5 * s} for s in lapped_s]
        file.update(synthetic.sampled([*lapped, *synthetic.bare([0.010] * 4)]))

    text = notes(tmp_path, costly)
    assert said in text
    assert ("Laps cost" in text) is bool(said)


def test_the_cost_of_synchronizing_at_every_lap(tmp_path: Path) -> None:
    def isolated(file: dict[str, Any]) -> None:
        file["settings"]["sync_phases"] = True
        file.update(synthetic.sampled(synthetic.blocks(20, 0.015, 0.010)))

    text = notes(tmp_path, isolated)
    assert "--sync-phases synchronizes with the device at every lap in off, default" in text
    assert "steps took up to 1.50 times as long" in text
    assert "Laps cost" not in text  # synchronizing explains the difference


def test_a_peak_that_a_case_exceeds_was_measured_too_low(tmp_path: Path) -> None:
    machine_peaks = {"cpu": synthetic.peaks(matmul_flops_per_s={"fp32": 1.0e10})}
    text = notes(tmp_path, None, machine_peaks=machine_peaks)  # 0.124 GFLOP in 10 ms and in 8 ms
    assert "More than this machine's peak throughput in off, default (up to 155 % of it)" in text
    assert "the peak was measured too low" in text


def test_the_most_important_note_comes_first(tmp_path: Path) -> None:
    def doubtful(file: dict[str, Any]) -> None:
        file["noise"] = synthetic.noise(file["blocks"], 9, interference=True)
        file["warmup"]["steady"] = False

    first, second, *_ = caveats(load(synthetic.write_run(tmp_path, synthetic.two_cases(doubtful))))
    assert first.startswith("! Interference in off, default")
    assert first.endswith("or with --threads 1, which needs a single core.")
    assert second.startswith("No steady state after warm-up")
    assert second.endswith("Measure longer: --max-time 9.")
