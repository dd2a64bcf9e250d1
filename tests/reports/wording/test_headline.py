from pathlib import Path

import pytest

from stepbench_reports.read.run_directory import load
from stepbench_reports.render.markdown import render
from support import synthetic
from support.reading import flowing, printed, table


def test_a_single_case_is_not_compared(tmp_path: Path) -> None:
    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases()[:1]))
    text = flowing(printed(run))
    assert text.endswith(
        "400 samples/s; a step takes 10.00 ms (±<0.1 %), 50 % of it in backward. Its bottleneck is "
        "compute (69 % of the step): at best 3.2× as fast without compute."
    )
    assert "speed-up" not in text
    assert "convnet-cpu-b4-w0-off-fp32 1.000" in text


def test_cases_that_do_not_clearly_differ_are_not_ranked(tmp_path: Path) -> None:
    axes = {**synthetic.AXES, "batch_size": [4], "compile": ["off"]}
    files = [
        synthetic.case_file(case, synthetic.laps(1, 50, forward=2 + 0.01 * case["num_workers"]))
        for case in synthetic.product(axes)
    ]
    run = load(synthetic.write_run(tmp_path / "run", files, axes))
    assert "the 2 cases do not clearly differ" in flowing(printed(run))


@pytest.mark.parametrize(
    ("slow_s", "differ"),
    [
        ([0.20, 0.21, 0.22, 0.21], True),
        # The mean is twice as long, but the interval of 4 blocks is too wide.
        ([0.05, 0.05, 0.05, 0.65], False),
        ([0.101, 0.101, 0.101, 0.101], False),
    ],
)
def test_cases_are_ranked_by_the_intervals_of_their_blocks(
    tmp_path: Path, slow_s: list[float], differ: bool
) -> None:
    files = synthetic.two_cases()
    for file, bare_s in zip(files, ([0.10, 0.10, 0.10, 0.10], slow_s), strict=True):
        file["blocks"] = [{"kind": "bare", "steps": 10, "elapsed_s": s} for s in bare_s]
    text = flowing(printed(load(synthetic.write_run(tmp_path / "run", files))))
    assert ("the 2 cases do not clearly differ" in text) is not differ


def test_workloads_are_not_compared_with_each_other(tmp_path: Path) -> None:
    axes = {**synthetic.AXES, "workload": ["convnet", "lib/net.py:make"], "batch_size": [4]}
    files = []
    for case in synthetic.product(axes):
        slow = 10 if case["workload"] != "convnet" else 1
        host = synthetic.laps(2, 50, forward=slow * (2.0 + case["num_workers"]))
        file = synthetic.case_file(case, host)
        file["id"] = file["id"].replace("lib/net.py:make", "net")
        files.append(file)
    run = load(synthetic.write_run(tmp_path / "run", files, axes))
    text = flowing(printed(run))
    assert "Fastest for convnet: 0 workers" in text
    assert "Fastest for net: 0 workers" in text
    assert text.count("× as fast as the slowest: 2 workers") == 2


def test_evaluation_is_not_compared_with_training(tmp_path: Path) -> None:
    axes = {**synthetic.AXES, "loop": ["train", "eval"], "batch_size": [4]}
    files = []
    for case in synthetic.product(axes):
        phases = {"forward": 2.0 + case["num_workers"]}
        if case["loop"] == "train":
            phases["backward"] = 4.0
        files.append(synthetic.case_file(case, synthetic.laps(3, 50, **phases)))
    run = load(synthetic.write_run(tmp_path / "run", files, axes))
    text = flowing(printed(run))
    assert "Fastest in training: 0 workers" in text
    assert "Fastest in evaluation: 0 workers" in text
    assert text.count("as fast as the slowest: 2 workers") == 2
    assert "the step in training is 1.00× as fast as eager in the geometric mean of 2" in text
    assert "the step in evaluation is 1.00× as fast as eager in the geometric mean of 2" in text
    assert [line.split()[0] for line in printed(run).splitlines() if " w0 off" in line] == ["eval"]
    assert {row["loop"] for row in table(render(run))} == {"train", "eval"}
