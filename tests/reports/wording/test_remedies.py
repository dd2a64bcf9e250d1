"""Remedies, and gains that are predicted, of cases with loader workers."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

import pytest

from stepbench_reports.analysis.bottleneck import BottleneckKind
from stepbench_reports.read.run import Run
from stepbench_reports.read.run_directory import load
from stepbench_reports.wording import bottleneck, remedies
from support import synthetic

LAUNCH_OVERHEAD: dict[str, Any] = {
    "batch_size": 1, "forward_s": 0.0, "backward_s": 0.0, "reason": None
}  # fmt: skip


def with_workers(tmp_path: Path, steps_s: dict[int, list[float]], **fields: Any) -> Run:
    """A run of cases by their number of workers, with the mean steps in each generation.

    Of 10 ms of lapped steps, 8 are forward and backward; without loading these take 3 ms.
    """
    axes = {**synthetic.AXES, "batch_size": [4], "compile": ["off"], "num_workers": list(steps_s)}
    ms = {"dataload": 1.0, "forward": 3.0, "backward": 5.0, "optimizer": 1.0, "step": 10.0}
    laps = {phase: [lap / 1e3] * 20 for phase, lap in ms.items()}
    files = []
    for case in synthetic.product(axes):
        bare_s = steps_s[case["num_workers"]]
        lapped = [{"kind": "lapped", "steps": 5, "elapsed_s": 0.05}] * len(bare_s)
        sampled = synthetic.sampled([*lapped[:4], *synthetic.bare(bare_s)], laps)
        unloaded = [
            {
                **turn, "kind": "unloaded", "elapsed_s": 0.005 * turn["steps"],
                "phases_s": {"forward": 0.001 * turn["steps"], "backward": 0.002 * turn["steps"]},
            }
            for turn in sampled["turns"]
            if turn["kind"] == "lapped"
        ]  # fmt: skip
        sampled["turns"] += unloaded
        fields |= {"launch_overhead": LAUNCH_OVERHEAD}
        files.append(synthetic.case_file(case, laps, **sampled, **fields))
    return load(synthetic.write_run(tmp_path / "run", files, axes))


def test_cores_that_loader_workers_take_are_not_compute(tmp_path: Path) -> None:
    run = with_workers(tmp_path, {0: [0.010] * 4, 2: [0.010] * 4})
    none, two = run.measurements
    assert bottleneck.cell(none) == "compute 80 %"
    assert two.worker_cores_s == pytest.approx(0.005)
    assert bottleneck.cell(two) == "workers 50 %"
    text = bottleneck.sentences(run, two)
    assert text.startswith(
        "Cores taken by loader workers: 50 % of the step is forward and backward beyond what they "
        "take with nothing to load: loader workers use the same cores."
    )
    assert (
        "Without the loader's work, a step takes about 5.000 ms: 2.00× (2.00–2.00) as fast." in text
    )
    assert " With --num-workers 0, a step would be about 1.6× as fast." in text
    assert text.endswith("Remedies: fewer --num-workers, cheaper transforms, data in memory.")


@pytest.mark.parametrize(
    ("without_s", "offered"),
    [
        ([0.012, 0.0121, 0.0122, 0.0121], False),
        ([0.008] * 4, True),
        ([0.012, 0.009, 0.014, 0.0101], True),  # slower by chance
    ],
)
def test_a_remedy_that_the_run_has_refuted_is_not_offered(
    tmp_path: Path, without_s: list[float], offered: bool
) -> None:
    run = with_workers(tmp_path, {0: without_s, 2: [0.010] * 4})
    text = bottleneck.sentences(run, run.measurements[1])
    assert ("fewer --num-workers" in text) is offered
    assert "cheaper transforms" in text


@pytest.mark.parametrize(
    ("without_s", "more", "fewer"),
    [
        ([0.005] * 4, False, True),  # fewer are clearly faster
        ([0.020] * 4, True, False),
        ([0.010] * 4, True, False),
    ],
)
def test_workers_for_waiting_are_not_offered_against_what_the_run_shows(
    tmp_path: Path, without_s: list[float], more: bool, fewer: bool
) -> None:
    run = with_workers(tmp_path, {0: without_s, 2: [0.010] * 4})
    text = remedies.sentence(run, run.measurements[1], BottleneckKind.DATA)
    assert ("more --num-workers" in text) is more
    assert ("fewer --num-workers" in text) is fewer


@pytest.mark.parametrize(("without_s", "offered"), [([0.010] * 4, False), ([0.005] * 4, True)])
def test_fewer_workers_are_offered_against_the_prediction_only_if_the_run_shows_it(
    tmp_path: Path, without_s: list[float], offered: bool
) -> None:
    # 5 ms with nothing to load, and 8 ms for one worker to make a batch: 13 ms instead of 10.
    loader = synthetic.loader(samples_per_s=1000.0)
    run = with_workers(tmp_path, {0: without_s, 2: [0.010] * 4}, loader=loader)
    text = bottleneck.sentences(run, run.measurements[1])
    assert "With --num-workers 0, a step would be about 0.77× as fast." in text
    assert ("fewer --num-workers" in text) is offered


def test_a_gain_has_the_interval_of_its_generations(tmp_path: Path) -> None:
    run = with_workers(tmp_path, {2: [0.009, 0.010, 0.011, 0.010]})
    (m,) = run.measurements
    assert m.bottleneck is not None
    gain = m.bottleneck.gain
    logs = [math.log(step_s / 0.005) for step_s in (0.009, 0.010, 0.011, 0.010)]
    mean, error = statistics.fmean(logs), statistics.stdev(logs) / 2
    assert gain.value == pytest.approx(math.exp(mean))
    assert gain.low == pytest.approx(math.exp(mean - 3.1824 * error), rel=1e-4)
    assert "as fast without the loader's work" in bottleneck.clause(m)
    assert "about 2.0× (1.7–2.3) as fast" in bottleneck.clause(m)
    row = run.cases.iloc[0]
    assert (row["gain"], row["gain_low"], row["gain_high"]) == (gain.value, gain.low, gain.high)
    assert row["best_step_s"] == pytest.approx(m.mean_step.value / gain.value)


def test_what_trains_another_model_is_no_remedy(tmp_path: Path) -> None:
    axes = {**synthetic.AXES, "batch_size": [4], "num_workers": [0], "compile": ["off"]}
    axes["precision"] = ["fp32", "bf16"]
    laps = {"forward": [0.004] * 20, "backward": [0.006] * 20, "step": [0.010] * 20}
    fields = {"launch_overhead": LAUNCH_OVERHEAD}
    files = [synthetic.case_file(case, laps, **fields) for case in synthetic.product(axes)]
    path = synthetic.write_run(tmp_path / "run", files, axes)
    run = load(path)
    offered = remedies.sentence(run, run.measurements[0], BottleneckKind.COMPUTE)
    assert "--precision bf16" in offered
    (path / "parity").mkdir()
    judged = synthetic.parity_file(files[1]["case"], "fail")
    (path / "parity" / f"{judged['id']}.json").write_text(json.dumps(judged))
    run = load(path)
    offered = remedies.sentence(run, run.measurements[0], BottleneckKind.COMPUTE)
    assert "--precision bf16" not in offered
