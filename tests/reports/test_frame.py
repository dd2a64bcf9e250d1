import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import synthetic

import reports
from reports.frame import load

EAGER, COMPILED = "convnet-cpu-b4-w0-off-fp32", "convnet-cpu-b4-w0-default-fp32"


def test_figures_by_hand(tmp_path: Path) -> None:
    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases()))
    cases = run.cases.set_index("id")
    assert cases["step_s"].to_dict() == {EAGER: 0.010, COMPILED: 0.008}
    assert cases["samples_per_s"].to_dict() == pytest.approx({EAGER: 400, COMPILED: 500})
    assert cases.loc[COMPILED, "speedup"] == 1.25
    assert cases.loc[COMPILED, "speedup_low"] == 1.25
    assert cases.loc[COMPILED, "speedup_high"] == 1.25
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
    files = synthetic.believable_files()
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
    assert row["median_s"].item() == np.median(steps)
    assert row["p95_s"].item() == np.quantile(steps, 0.95)
    assert row["n"].item() == 200
    assert run.speedups.keys() == {file["id"] for file in files[1:6:2]}


def test_throughput_sees_waits_that_the_median_does_not(tmp_path: Path) -> None:
    def burst(file: dict[str, Any]) -> None:
        file["laps"]["host"]["step"][0] = 1.0
        file["blocks"] = [{"kind": "bare", "steps": 20, "elapsed_s": 2.0}]

    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases(burst)))
    assert run.cases["step_s"].tolist() == [0.010, 0.008]
    assert run.cases["samples_per_s"].tolist() == [40, 40]


def test_the_device_clock_is_shown_and_both_are_kept(tmp_path: Path) -> None:
    axes = {**{name: values[0] for name, values in synthetic.AXES.items()}, "device": "cuda"}
    host = {"dataload": [0.001] * 8, "forward": [0.001] * 8, "step": [0.002] * 8}
    device = {
        "dataload": [0.0] * 8, "transfer": [0.001] * 8, "forward": [0.003] * 8, "step": [0.004] * 8,
    }  # fmt: skip
    run = load(synthetic.write_run(tmp_path / "run", [synthetic.case_file(axes, host, device)]))
    (measurement,) = run.measurements
    assert measurement.clock == "device"
    assert measurement.step.value == 0.004
    assert measurement.shares == pytest.approx({"dataload": 0, "transfer": 0.25, "forward": 0.75})
    assert set(run.phases["clock"]) == {"host", "device"}
    assert run.phase_names == ("dataload", "transfer", "forward")
    assert run.samples.groupby("clock")["transfer"].count().to_dict() == {"device": 8, "host": 0}


def test_few_steps_have_no_interval(tmp_path: Path) -> None:
    axes = {name: values[0] for name, values in synthetic.AXES.items()}
    file = synthetic.case_file(axes, {"forward": [0.001] * 3, "step": [0.001] * 3})
    run = load(synthetic.write_run(tmp_path / "run", [file]))
    assert run.phases["median_s"].tolist() == [0.001, 0.001]
    assert run.phases[["low_s", "high_s"]].isna().all(axis=None)


def test_a_run_that_was_cut_off(tmp_path: Path) -> None:
    files = synthetic.believable_files()
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


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda _: "", "damaged"),
        (lambda _: "[1, 2]", "no object"),
        (lambda text: text.replace('"forward": [0.003', '"forward": [NaN'), "NaN is no figure"),
        (lambda text: text.replace('"forward": [0.003, ', '"forward": ['), "unequally many"),
        (lambda text: text.replace('"forward": [0.003', '"forward": ["x"'), "no numbers"),
        (lambda text: text.replace('"forward": [0.003', '"forward": [1e999'), "not all numbers"),
        (lambda text: text.replace('"schema": 1', '"schema": 2'), "schema is 2"),
        (lambda text: text.replace('"batch_size": 4', '"batch_size": null'), "batch size is None"),
        (lambda text: text.replace('"blocks"', '"bricks"'), "no blocks"),
        (lambda text: text.replace('"laps"', '"lap"'), "no laps"),
        (lambda text: text.replace('"id": "convnet', '"id": "resnet'), "not this case's"),
    ],
)
def test_a_damaged_case_is_named_and_the_rest_is_reported(
    tmp_path: Path, damage: Any, said: str
) -> None:
    path = synthetic.write_run(tmp_path / "run", synthetic.two_cases())
    file = path / "cases" / f"{EAGER}.json"
    file.write_text(damage(file.read_text()))
    run = load(path)
    (problem,) = run.problems
    assert EAGER in problem
    assert said in problem
    assert f"--resume {path}" in problem
    cases = run.cases.set_index("id")
    assert cases.loc[EAGER, "status"] == "damaged"
    assert cases.loc[COMPILED, "step_s"] == 0.008
    assert cases["speedup"].isna().all()
    reports.write(run)


def test_fields_of_a_later_stepbench_are_left_alone(tmp_path: Path) -> None:
    def later(file: dict[str, Any]) -> None:
        file["laps"]["bare"] = {"step": [1.0]}
        file["parity"] = {"verdict": "passes"}
        file["case"]["channels_last"] = True
        file["memory"] = None

    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases(later)))
    assert not run.problems
    assert set(run.phases["clock"]) == {"host"}
    assert run.phases["channels_last"].all()
    assert run.cases["host_peak_bytes"].isna().all()
    assert len(run.speedups) == 1


def test_no_run_here(tmp_path: Path) -> None:
    with pytest.raises(reports.ReportError, match=r"holds no run \(it has no run.json\); name a"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"axes": {}, "cases": [1]}'])
def test_a_damaged_run(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(reports.ReportError, match="begin a new run"):
        load(tmp_path)


def test_a_newer_schema_is_refused_with_the_version_to_use(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path / "run", [], schema=2, stepbench="3.1.4")
    with pytest.raises(reports.ReportError, match=r"schema 2.*up to 1.*stepbench 3\.1\.4"):
        load(path)


def test_loading_changes_nothing(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path / "run", synthetic.two_cases())
    before = {file: file.read_bytes() for file in path.rglob("*.json")}
    run = load(str(path))
    assert len(run.cases) == 2
    assert {file: file.read_bytes() for file in path.rglob("*.json")} == before
    assert json.loads((path / "run.json").read_text()) == run.facts
