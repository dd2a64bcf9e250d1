import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from stepbench_reports.read.run_directory import load
from support import synthetic

EAGER, COMPILED = "convnet-cpu-b4-w0-off-fp32", "convnet-cpu-b4-w0-default-fp32"


def test_figures_by_hand(tmp_path: Path) -> None:
    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases()))
    cases = run.cases.set_index("id")
    assert cases["step_s"].to_dict() == pytest.approx({EAGER: 0.010, COMPILED: 0.008})
    assert cases["generations"].tolist() == [4, 4]
    for name in ("samples_per_s", "samples_per_s_low", "samples_per_s_high"):
        assert cases[name].to_dict() == pytest.approx({EAGER: 400, COMPILED: 500})
    for name in ("speedup", "speedup_low", "speedup_high"):
        assert cases.loc[COMPILED, name] == pytest.approx(1.25)
    assert cases["speedup_paired"].tolist() == [None, True]
    assert cases["speedup"].isna().to_dict() == {EAGER: True, COMPILED: False}
    assert cases["steps"].tolist() == [20, 20]
    assert cases["batch_size"].tolist() == [4, 4]
    phases = run.phases.set_index(["case", "phase"])
    assert phases.loc[(EAGER, "backward"), "share"] == pytest.approx(0.5)
    assert phases.loc[(COMPILED, "forward"), "share"] == pytest.approx(0.25)
    assert phases.loc[(EAGER, "step"), "share"] == 1.0
    assert phases.loc[(EAGER, "forward"), "total_s"] == pytest.approx(0.060)
    assert phases.loc[(EAGER, "step"), "samples_per_s"] == pytest.approx(400)
    assert run.phases["samples_per_s"].notna().tolist() == [False, False, False, False, True] * 2
    order = ["dataload", "forward", "backward", "optimizer", "step"]
    assert run.phases["phase"].tolist() == order * 2


def test_frames_are_tidy(tmp_path: Path) -> None:
    files = synthetic.eight_cases()
    run = load(synthetic.write_run(tmp_path / "run", files))
    assert run.cases["id"].tolist() == [file["id"] for file in files]
    assert run.cases["status"].tolist() == ["ok"] * 7 + ["crashed"]
    assert len(run.samples) == 4 * 200 + 3 * 40
    first = run.samples[run.samples["case"] == files[0]["id"]]
    assert first["index"].tolist() == list(range(200))
    assert first["forward"].tolist() == files[0]["laps"]["host"]["forward"]
    assert list(run.samples) == [
        "case", "clock", "index", "dataload", "forward", "backward", "optimizer", "step",
    ]  # fmt: skip
    row = run.phases[(run.phases["case"] == files[0]["id"]) & (run.phases["phase"] == "step")]
    steps = files[0]["laps"]["host"]["step"]
    # The geometric mean of the medians of four generations, with Student's t of 3 degrees.
    logs = np.log(np.median(np.reshape(steps, (4, 50)), axis=1))
    half = scipy.stats.t.ppf(0.975, 3) * scipy.stats.sem(logs)
    for name, log in (("median_s", 0), ("low_s", -half), ("high_s", half)):
        assert row[name].item() == pytest.approx(math.exp(logs.mean() + log))
    assert row["p95_s"].item() == np.quantile(steps, 0.95)
    assert row["n"].item() == 200
    assert run.speedups.keys() == {file["id"] for file in files[1:6:2]}


def test_throughput_sees_waits_that_the_median_does_not(tmp_path: Path) -> None:
    def burst(file: dict[str, Any]) -> None:
        file["laps"]["host"]["step"][0] = 1.0
        file.update(synthetic.sampled(synthetic.bare([0.1] * 4)))

    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases(burst)))
    assert run.cases["step_s"].tolist() == pytest.approx([0.010, 0.008])
    assert run.cases["samples_per_s"].tolist() == pytest.approx([40, 40])


def test_a_step_of_several_batches_counts_all_their_samples(tmp_path: Path) -> None:
    def accumulate(file: dict[str, Any]) -> None:
        file["case"]["accumulate"] = 4

    cases = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases(accumulate))).cases
    assert cases["samples_per_s"].tolist() == pytest.approx([4 * 4 / 0.010, 4 * 4 / 0.008])
    assert cases["flops"].tolist() == [4 * 124190000] * 2
    assert cases["flops_per_s"].tolist() == pytest.approx([4 * 12.419e9, 4 * 15.52375e9])
    assert cases["bytes"].tolist() == [4 * 31457280] * 2
    assert cases["fixed_cost_s"].tolist()[0] == pytest.approx(4 * 0.0011)


def test_the_new_columns_by_hand(tmp_path: Path) -> None:
    def busy(file: dict[str, Any]) -> None:
        file["noise"] = synthetic.noise(file["blocks"], discarded=2)

    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases(busy)))
    eager, compiled = run.cases.to_dict("records")
    noise = [eager[f"noise_{name}"] for name in ("discarded", "blocks", "interference")]
    assert noise == [2, 10, False]
    loader = [eager[f"loader_{name}"] for name in ("start_s", "restart_s", "samples_per_s")]
    assert loader == [0.031, 0.045, 7412.0]
    compiling = ("cold_compile_s", "warm_compile_s", "cold_first_step_s", "recompiles")
    assert [compiled[name] for name in compiling] == [7.6, 0.81, 8.2, 0]
    assert all(math.isnan(eager[name]) for name in compiling)
    assert compiled["first_step_s"] == 0.9
    assert math.isnan(compiled["cuda_graph_skips"])
    assert eager["saved_bytes"] == 2457600
    assert eager["intensity"] == pytest.approx(124190000 / 31457280)
    assert eager["flops_per_s"] == pytest.approx(124190000 / 0.010)
    assert eager["share_of_peak"] == pytest.approx(124190000 / 0.010 / 1.8e11)
    assert eager["share_of_roof"] == pytest.approx(31457280 / 0.010 / 1.9e10)  # below the ridge
    # Eager: 8 ms of forward and backward, of which 1.1 ms are fixed.
    assert eager["fixed_cost_s"] == pytest.approx(0.0011)
    assert eager["hidden_launch_s"] == 0
    assert eager["bottleneck"] == "compute"
    assert eager["bottleneck_share"] == pytest.approx(0.69)
    assert eager["best_step_s"] == pytest.approx(0.010 - 0.0069)
    # Compiled: 6 ms of 8, with the fixed cost unknown.
    assert math.isnan(compiled["fixed_cost_s"])
    assert compiled["bottleneck"] == "compute or fixed cost"
    assert compiled["best_step_s"] == pytest.approx(0.002)


def test_a_speed_up_is_paired_by_generation(tmp_path: Path) -> None:
    files = synthetic.two_cases()
    steps_s = ([0.09, 0.10, 0.11], [0.04, 0.05, 0.06])
    for file, bare_s in zip(files, steps_s, strict=True):
        lapped = {"kind": "lapped", "steps": 20, "elapsed_s": 9.0}
        file.update(synthetic.sampled([lapped, *synthetic.bare(bare_s)]))
    run = load(synthetic.write_run(tmp_path / "run", files))
    speedup = run.speedups[COMPILED]
    assert speedup.paired
    # The log ratios of three generations have Student's t of 2 degrees of freedom.
    logs = np.log([0.09 / 0.04, 0.10 / 0.05, 0.11 / 0.06])
    half = scipy.stats.t.ppf(0.975, 2) * scipy.stats.sem(logs)
    interval = speedup.interval
    assert interval.value == pytest.approx(math.exp(logs.mean()))
    assert interval.low == pytest.approx(math.exp(logs.mean() - half))
    assert interval.high == pytest.approx(math.exp(logs.mean() + half))
    rates = run.cases["samples_per_s"].tolist()
    assert rates[1] / rates[0] == pytest.approx(interval.value)
    high = run.cases["samples_per_s_high"].tolist()
    of_eager = np.log(steps_s[0])
    half = scipy.stats.t.ppf(0.975, 2) * scipy.stats.sem(of_eager)
    assert high[0] == pytest.approx(4 / math.exp(of_eager.mean() - half))
    assert run.cases["generations"].tolist() == [3, 3]


def test_a_single_generation_has_figures_and_no_interval(tmp_path: Path) -> None:
    files = synthetic.two_cases()
    for file, step_s in zip(files, (0.010, 0.008), strict=True):
        lapped = {"kind": "lapped", "steps": 20, "elapsed_s": 20 * step_s}
        file.update(synthetic.sampled([lapped, *synthetic.bare([step_s])]))
    run = load(synthetic.write_run(tmp_path / "run", files))
    cases = run.cases.set_index("id")
    assert cases["samples_per_s"].tolist() == pytest.approx([400, 500])
    assert cases.loc[COMPILED, "speedup"] == pytest.approx(1.25)
    assert cases.loc[COMPILED, "speedup_paired"]
    ends = ["samples_per_s_low", "samples_per_s_high", "speedup_low", "speedup_high", "step_low_s"]
    assert cases[ends].isna().all(axis=None)
    assert run.phases[["low_s", "high_s"]].isna().all(axis=None)


def test_any_two_cases_are_compared_by_their_ids(tmp_path: Path) -> None:
    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases()))
    assert run.ratio(COMPILED, EAGER).value == pytest.approx(1.25)
    assert run.ratio(EAGER, COMPILED).high == pytest.approx(0.8)
    assert run.ratio(COMPILED, EAGER, of="step").low == pytest.approx(0.8)
    assert run.case(EAGER) is run.measurements[0]
    with pytest.raises(KeyError, match="convnet-cpu-b8: the run has no such case"):
        run.ratio(EAGER, "convnet-cpu-b8")


def test_a_case_that_was_not_measured_has_no_ratio(tmp_path: Path) -> None:
    files = synthetic.two_cases()
    files[1] = synthetic.failed_file(files[1]["case"], "oom", "no memory")
    run = load(synthetic.write_run(tmp_path / "run", files))
    assert math.isnan(run.ratio(COMPILED, EAGER).value)


def test_comparisons_include_what_was_measured_undisturbed_and_trains_the_same(
    tmp_path: Path,
) -> None:
    files = synthetic.eight_cases()
    files[1]["noise"] = synthetic.noise(files[1]["blocks"], interference=True)
    path = synthetic.write_run(tmp_path / "run", files)
    (path / "parity").mkdir()
    for file, verdict in ((files[0], "pass"), (files[2], "fail"), (files[3], "undecided")):
        content = synthetic.parity_file(file["case"], verdict, reason="a reason")
        (path / "parity" / f"{file['id']}.json").write_text(json.dumps(content))
    counted = [m.counts for m in load(path).measurements]
    # With interference, with failed parity, and the last one crashed.
    assert counted == [True, False, False, True, True, True, True, False]


def test_a_case_with_dynamic_shapes_has_a_twin_that_has_none(tmp_path: Path) -> None:
    files = synthetic.two_cases()
    files[1]["case"]["dynamic"] = "on"
    assert len(load(synthetic.write_run(tmp_path / "run", files)).speedups) == 1


def test_training_is_no_twin_of_evaluation(tmp_path: Path) -> None:
    files = synthetic.two_cases()
    files[1]["case"]["loop"] = "eval"
    assert not load(synthetic.write_run(tmp_path / "run", files)).speedups


@pytest.mark.parametrize(
    "machine_peaks",
    [
        {},
        {"cpu": synthetic.peaks(matmul_flops_per_s={})},
        {"cpu": synthetic.peaks(matmul_flops_per_s={"fp32": None}, copy_bytes_per_s=0)},
        {"cuda": synthetic.peaks()},
    ],
)
def test_without_a_ceiling_there_is_no_share_of_it(tmp_path: Path, machine_peaks: Any) -> None:
    path = synthetic.write_run(tmp_path / "run", synthetic.two_cases(), machine_peaks=machine_peaks)
    run = load(path)
    assert run.cases["share_of_peak"].isna().all()
    assert run.cases["share_of_roof"].isna().all()
    assert math.isnan(run.ridge("cpu", "fp32"))
    assert run.cases["flops_per_s"].notna().all()


def test_the_device_clock_is_shown_and_both_are_kept(tmp_path: Path) -> None:
    axes = {**{name: values[0] for name, values in synthetic.AXES.items()}, "device": "cuda"}
    host = {"dataload": [0.001] * 8, "forward": [0.001] * 8, "step": [0.002] * 8}
    device = {
        "dataload": [0.0] * 8, "transfer": [0.001] * 8, "forward": [0.003] * 8, "step": [0.004] * 8,
    }  # fmt: skip
    run = load(synthetic.write_run(tmp_path / "run", [synthetic.case_file(axes, host, device)]))
    (measurement,) = run.measurements
    assert measurement.clock == "device"
    assert measurement.step.value == pytest.approx(0.004)
    assert measurement.shares == pytest.approx({"dataload": 0, "transfer": 0.25, "forward": 0.75})
    assert set(run.phases["clock"]) == {"host", "device"}
    assert run.phase_names == ("dataload", "transfer", "forward")
    assert run.samples.groupby("clock")["transfer"].count().to_dict() == {"device": 8, "host": 0}


def test_a_run_that_was_cut_off(tmp_path: Path) -> None:
    files = synthetic.eight_cases()
    every = [file["id"] for file in files]
    run = load(synthetic.write_run(tmp_path / "run", files[:5], cases=every))
    assert run.cases["id"].tolist() == every
    assert run.cases["status"].tolist() == ["ok"] * 5 + ["not measured"] * 3
    assert run.cases["batch_size"].tolist()[:5] == [4, 4, 4, 4, 32]
    assert run.cases["batch_size"].isna().tolist() == [False] * 5 + [True] * 3
    assert not run.problems


def test_a_run_of_which_nothing_was_measured(tmp_path: Path) -> None:
    run = load(synthetic.write_run(tmp_path / "run", [], cases=[EAGER]))
    assert run.cases["status"].tolist() == ["not measured"]
    assert run.samples.empty
    assert run.phases.empty
    assert list(run.phases)[:3] == ["case", "workload", "dataset"]


def test_fields_of_a_later_stepbench_are_left_alone(tmp_path: Path) -> None:
    def later(file: dict[str, Any]) -> None:
        file["laps"]["bare"] = {"step": [1.0]}
        file["parity"] = {"verdict": "passes"}
        file["case"]["flavour"] = "vanilla"
        file["memory"]["swap_bytes"] = 1

    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases(later)))
    assert not run.problems
    assert set(run.phases["clock"]) == {"host"}
    assert run.cases["host_peak_bytes"].notna().all()
    assert len(run.speedups) == 1
