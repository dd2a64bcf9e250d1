"""A real TensorBoard shows the same figures of a real run as stepbench's reports."""

import gzip
import io
import json
from typing import Any

import pytest
from PIL import Image

import stepbench_reports
from support import gpu_trace
from support.board import Board

CASES = {
    f"convnet-cpu-b4-w0-off-{precision}": f"convnet/cpu-b4-w0-off-{precision}"
    for precision in ("fp32", "bf16")
}
CASE, NAME = next(iter(CASES.items()))
PROFILE = f"{NAME}/profile"
PHASES = ("dataload", "forward", "backward", "optimizer")


def rows(board: Board, case: str, **query: Any) -> dict[str, dict[str, Any]]:
    table = board.profile("operation/table", case, **query)["data"]
    return {row["name"]: row for row in table}


def test_runs_are_named_by_workload_and_case(board: Board) -> None:
    runs = set(board.get("plugin/pytorch_profiler/runs")["runs"])
    assert runs == {f"{name}/profile" for name in CASES.values()} | {"gpu/profile"}
    assert set(board.get("plugin/scalars/tags")) == set(CASES.values())
    views = board.get("plugin/pytorch_profiler/views", run=PROFILE)
    assert {"Overview", "Operator", "Trace", "Memory"} <= set(views)


def test_the_overview_has_the_steps_and_the_dataloaders_time(board: Board) -> None:
    breakdown = board.profiled(CASE)["breakdown"]
    overview = board.profile("overview", PROFILE)
    steps = overview["steps"]
    heads = [column["name"] for column in steps["columns"] if column["type"] == "number"]
    numbers = [[cell for cell in row if isinstance(cell, float)] for row in steps["rows"]]
    assert len(numbers) == breakdown["steps"]
    loading_us = [row[heads.index("DataLoader")] for row in numbers]
    assert all(time > 0 for time in loading_us)
    expected_s = sum(
        row["host_self_s"]
        for row in breakdown["rows"]
        if row["phase"] == "dataload" and row["operator"] != "(outside operators)"
    )
    assert sum(loading_us) == pytest.approx(expected_s * 1e6, rel=1e-3, abs=2)
    assert sum(map(sum, numbers)) == pytest.approx(breakdown["step_s"] * 1e6, rel=1e-3)
    children = overview["performance"][0]["children"]
    assert any(child["name"] == "DataLoader" and child["value"] > 0 for child in children)


def test_the_operators_are_those_of_the_report(board: Board) -> None:
    breakdown = board.profiled(CASE)["breakdown"]
    shown = rows(board, PROFILE)
    for phase in PHASES:
        total_us = breakdown["phase_s"][phase] * 1e6
        assert shown[phase]["calls"] == breakdown["steps"]
        assert shown[phase]["host_total_duration"] == pytest.approx(total_us, abs=2)
        (outside,) = [
            row["host_self_s"]
            for row in breakdown["rows"]
            if (row["phase"], row["operator"]) == (phase, "(outside operators)")
        ]
        assert shown[phase]["host_self_duration"] == pytest.approx(outside * 1e6, abs=2)
    self_us: dict[str, list[float]] = {}
    for row in breakdown["rows"]:
        self_us.setdefault(row["operator"], []).append(row["host_self_s"] * 1e6)
    compared = [name for name in self_us if name.startswith("aten::") and name in shown]
    assert len(compared) > 20
    for name in compared:
        assert shown[name]["host_self_duration"] == pytest.approx(
            sum(self_us[name]), rel=0.02, abs=3
        )


def test_the_memorys_peak_is_that_of_the_report(board: Board) -> None:
    curve = board.profile("memory_curve", PROFILE, memory_metric="KB")
    shown_kib = max(row[1] for row in curve["rows"]["CPU"])
    (peak,) = board.profiled(CASE)["breakdown"]["memory_peak_bytes"].values()
    assert shown_kib * 1024 == pytest.approx(peak)


def test_the_trace_has_the_phases_and_the_original_is_kept(board: Board) -> None:
    shown = json.loads(
        board.raw("plugin/pytorch_profiler/trace", run=PROFILE, worker="cpu", span="1")
    )
    names = [event["name"] for event in shown["traceEvents"] if event.get("cat") == "cpu_op"]
    assert {name: names.count(name) for name in PHASES} == dict.fromkeys(PHASES, 3)
    stored = board.run / "traces" / f"{CASE}.pt.trace.json.gz"
    original = json.loads(gzip.decompress(stored.read_bytes()))
    assert len(original["traceEvents"]) == len(shown["traceEvents"])
    marks = {e["name"] for e in original["traceEvents"] if e.get("cat") == "user_annotation"}
    assert set(PHASES) <= marks


def test_a_gpus_times_are_shown_per_operator(board: Board) -> None:
    query = {"run": "gpu/profile", "worker": "cuda", "span": "1"}
    table = board.get("plugin/pytorch_profiler/operation/table", **query)["data"]
    shown = {row["name"]: row for row in table}
    steps = gpu_trace.STEPS
    assert shown["aten::addmm"]["device_self_duration"] == 300 * steps
    assert shown["aten::linear"]["device_total_duration"] == 300 * steps
    assert shown["AddmmBackward0"]["device_self_duration"] == 200 * steps
    kernels = board.get("plugin/pytorch_profiler/kernel/table", **query, group_by="Kernel")["data"]
    assert {row[0] for row in kernels["rows"]} >= {"sgemm_forward", "sgemm_backward"}
    trace = json.loads(board.raw("plugin/pytorch_profiler/trace", **query))
    tracks = {event["name"] for event in trace["traceEvents"] if event.get("ph") == "C"}
    assert {"GPU 0 Utilization", "GPU 0 Est. SM Efficiency"} <= tracks


def scalars(board: Board, run: str, tag: str) -> list[tuple[int, float]]:
    points = board.get("plugin/scalars/scalars", run=run, tag=tag)
    return [(step, value) for _, step, value in points]


@pytest.mark.parametrize(("case", "run"), CASES.items())
def test_the_scalars_are_the_measured_ones(board: Board, case: str, run: str) -> None:
    measured, profile = board.case(case), board.profiled(case)
    for phase in (*PHASES, "step"):
        laps = measured["laps"]["host"][phase]
        shown = scalars(board, run, f"laps_ms/{phase}")
        assert [step for step, _ in shown] == list(range(len(laps)))
        assert [value for _, value in shown] == pytest.approx([lap * 1e3 for lap in laps])
    bare = [block for block in measured["blocks"] if block["kind"] == "bare"]
    rates = [block["steps"] * 4 / block["elapsed_s"] for block in bare]
    shown = scalars(board, run, "samples_per_s/block")
    assert [value for _, value in shown] == pytest.approx(rates)
    losses = profile["curves"]["loss"]
    assert 1 < len(losses) <= 2000  # the number depends on the machine
    shown = scalars(board, run, "training/loss")
    assert [step for step, _ in shown] == list(range(0, len(losses), -(-len(losses) // 500)))
    assert [value for _, value in shown] == pytest.approx([losses[step] for step, _ in shown])
    accuracy = profile["curves"]["accuracy"]
    assert accuracy
    assert [step for step, _ in accuracy] == list(range(0, len(losses) + 1, 200))[: len(accuracy)]
    tested = scalars(board, run, "training/test_accuracy")
    assert [step for step, _ in tested] == [step for step, _ in accuracy]
    assert [share for _, share in tested] == pytest.approx([share for _, share in accuracy])


def test_the_table_of_settings_has_a_row_for_each_case(board: Board) -> None:
    experiment = board.post("plugin/hparams/experiment", {"experimentName": ""})
    settings = {info["name"]: info["domainDiscrete"] for info in experiment["hparamInfos"]}
    assert settings["precision"] == ["fp32", "bf16"]
    assert settings["batch_size"] == ["4"]  # TensorBoard would write a number as 4.0000
    columns = [info["name"]["tag"] for info in experiment["metricInfos"]]
    assert columns[:3] == ["result/samples_per_s", "result/step_ms", "result/optimizer_ms"]
    assert "pin_memory" not in settings  # neither varies nor is set
    sessions = board.post(
        "plugin/hparams/session_groups",
        {
            "experimentName": "",
            "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE",
                                "STATUS_RUNNING"],
            "colParams": [{"metric": info["name"]} for info in experiment["metricInfos"]],
            "startIndex": 0, "sliceSize": 100,
        },
    )  # fmt: skip
    results = {}
    for group in sessions["sessionGroups"]:
        values = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
        results[group["hparams"]["precision"]] = values
    run = stepbench_reports.load(board.run)
    assert set(results) == {"fp32", "bf16"}
    for measurement in run.measurements:
        values = results[measurement.axes["precision"]]
        assert values["result/samples_per_s"] == pytest.approx(measurement.samples_per_s.value)
        assert values["result/step_ms"] == pytest.approx(measurement.step.value * 1e3)
        for phase in PHASES:
            median_ms = measurement.medians[phase].value * 1e3
            assert values[f"result/{phase}_ms"] == pytest.approx(median_ms)


def test_the_other_tabs_show_the_run(board: Board) -> None:
    assert board.profiled(CASE)["board"]["left_out"] == {}
    images = board.get("plugin/images/tags")[NAME]
    assert set(images) == {"batch"}
    (image,) = board.get("plugin/images/images", run=NAME, tag="batch", sample=0)
    picture = board.raw(f"plugin/images/individualImage?{image['query']}")
    with Image.open(io.BytesIO(picture)) as shown:
        assert shown.size == (4 * 34 + 2, 34 + 2)  # four of 32 pixels, and their borders

    graph = board.raw("plugin/graphs/graph", run=NAME).decode()
    assert all(layer in graph for layer in ("conv1", "conv2", "fc1", "fc2", "fc3"))

    (embedding,) = board.get("plugin/projector/info", run=NAME)["embeddings"]
    assert embedding["tensorShape"] == [256, 84]  # the input of the last layer
    assert embedding["sprite"]["singleImageDim"] == [32, 32]
    query = {"run": NAME, "name": embedding["tensorName"]}
    labels = board.raw("plugin/projector/metadata", **query).decode().splitlines()
    assert len(labels) == 256

    curves = board.get("plugin/pr_curves/tags")[NAME]
    assert {name.removeprefix("class/") for name in curves} == set(labels)
    assert len(curves) == 10
    one = board.get("plugin/pr_curves/pr_curves", tag=next(iter(curves)), run=NAME)
    assert len(one[NAME][0]["precision"]) > 2


def test_two_runs_side_by_side_do_not_mix(board: Board, tmp_path: Any) -> None:
    from stepbench import tensorboard

    other = tmp_path / "another"
    (other / "tb" / "convnet").mkdir(parents=True)
    (other / "run.json").write_text("{}")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    logs = tensorboard.link_runs([board.run, other], scratch)
    assert {path.name for path in logs.iterdir()} == {board.run.name, "another"}
    assert (logs / board.run.name / NAME / "profile").is_dir()
    assert tensorboard.link_runs([other], scratch) == other / "tb"
