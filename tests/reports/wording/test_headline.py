import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from stepbench_reports.read.run import Run
from stepbench_reports.read.run_directory import load
from stepbench_reports.render.markdown import render
from stepbench_reports.wording.headline import headline
from support import synthetic
from support.reading import flowing, printed, table


def test_a_single_case_is_not_compared(tmp_path: Path) -> None:
    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases()[:1]))
    text = flowing(printed(run))
    assert text.endswith(
        "400 samples/s; a step takes 10.00 ms (±<0.1 %), 50 % of it in backward. Its bottleneck is "
        "compute (69 % of the step): about 3.2× as fast without compute."
    )
    assert "speed-up" not in text
    assert "convnet-cpu-b4-w0-off-fp32 1.000" in text


def of_steps(tmp_path: Path, steps_s: Sequence[Sequence[float]]) -> Run:
    """A run of cases with 0, 1, ... workers and these mean steps in each generation, seconds."""
    axes = {**synthetic.AXES, "batch_size": [4], "compile": ["off"]}
    axes["num_workers"] = list(range(len(steps_s)))
    files = [
        synthetic.case_file(
            case, {"step": [0.01] * 8}, **synthetic.sampled(synthetic.bare(of_case))
        )
        for case, of_case in zip(synthetic.product(axes), steps_s, strict=True)
    ]
    return load(synthetic.write_run(tmp_path / "run", files, axes))


@pytest.mark.parametrize(
    ("slow_s", "differ"),
    [
        ([0.020, 0.021, 0.022, 0.021], True),
        ([0.0101, 0.0101, 0.0101, 0.0101], True),
        # Twice as long in the mean, but 4 generations are too different.
        ([0.005, 0.005, 0.005, 0.065], False),
    ],
)
def test_cases_are_ranked_by_the_intervals_of_their_paired_ratios(
    tmp_path: Path, slow_s: list[float], differ: bool
) -> None:
    text = headline(of_steps(tmp_path, [[0.010] * 4, slow_s]))
    if differ:
        assert text.startswith("Fastest: ")
    else:
        assert text == ("The 2 cases do not clearly differ: --max-time 9 may tell them apart.")


BARELY_S = [0.010 * math.exp(0.1 + change) for change in (0.048, -0.048, 0.048, -0.048)]
"""Mean steps whose paired ratio to steps of 10 ms has t = 0.1 / (0.048 / sqrt(3)) = 3.61."""


def test_the_more_cases_are_compared_the_larger_a_difference_must_be(tmp_path: Path) -> None:
    low, high = (float(scipy.stats.t.ppf(1 - 0.025 / others, 3)) for others in (1, 2))
    assert low < 0.1 / (0.048 / math.sqrt(3)) < high
    fast_s, slow_s = [0.010] * 4, [0.030] * 4
    two = headline(of_steps(tmp_path / "two", [fast_s, BARELY_S]))
    assert "on a par" not in two
    assert "as fast as the slowest: 1 worker (360)" in two
    three = headline(of_steps(tmp_path / "three", [fast_s, BARELY_S, slow_s]))
    assert three.startswith(
        "Fastest: 0 workers (400 samples/s), on a par with 1 worker; 3.00× (3.00–3.00) as fast as "
        "the slowest: 2 workers (133)."
    )


def test_a_common_drift_does_not_keep_cases_apart(tmp_path: Path) -> None:
    drift = [1.0, 2.0, 5.0, 0.5]
    run = of_steps(tmp_path, [[0.010 * factor for factor in drift], [0.012 * f for f in drift]])
    text = headline(run)
    assert "; 1.20× (1.20–1.20) as fast as the slowest: 1 worker" in text


def test_a_lead_that_interference_changed_has_both_estimates(tmp_path: Path) -> None:
    axes = {**synthetic.AXES, "batch_size": [4], "compile": ["off"]}
    fast, slow = (
        synthetic.case_file(case, {"step": [0.01] * 8}, **synthetic.sampled(blocks))
        for case, blocks in zip(
            synthetic.product(axes),
            (synthetic.bare([0.010] * 4), synthetic.bare([0.020] * 4)),
            strict=True,
        )
    )
    left_out = {"kind": "bare", "steps": 10, "elapsed_s": 0.4, "round": 1, "counts": False}
    slow["turns"] += [{**left_out, "generation": generation} for generation in range(4)]
    run = load(synthetic.write_run(tmp_path / "run", [fast, slow], axes))
    assert (
        "; 2.00× (2.00–2.00) as fast without interference (3.00× as it ran) as the slowest: 2"
    ) in headline(run)


def test_a_single_generation_compares_nothing(tmp_path: Path) -> None:
    text = headline(of_steps(tmp_path, [[0.010], [0.030]]))
    assert text == (
        "2 cases: not compared, since a single generation does not show how far figures differ by "
        "chance; leave out --steps."
    )


QUIETER = "Measure again on a quieter machine, or with --threads 1, which needs a single core."


def test_cases_with_interference_are_not_compared(tmp_path: Path) -> None:
    def disturbed(file: dict[str, Any]) -> None:
        if file["case"]["compile"] != "off":
            file["noise"] = synthetic.noise(file["blocks"], 9, interference=True)

    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases(disturbed)))
    text = headline(run)
    assert text.startswith(
        "Interference left too few turns in 1 of 2 cases, which are not compared. Measure again on "
        "a quieter machine, or with --threads 1, which needs a single core. off: 400 samples/s; a "
        "step takes 10.00 ms"
    )
    assert "torch.compile" not in text
    # A case that fails parity is left out for that, whatever the others are left out for.
    failing = synthetic.two_cases(disturbed)
    path = synthetic.write_run(tmp_path / "failing", failing)
    (path / "parity").mkdir()
    judged = synthetic.parity_file(failing[0]["case"], "fail")
    (path / "parity" / f"{judged['id']}.json").write_text(json.dumps(judged))
    assert headline(load(path)) == (
        "No case is compared: interference left too few turns of each that passes parity. "
        f"{QUIETER} Left out because parity fails: off."
    )
    every = synthetic.two_cases(
        lambda file: file.update(noise=synthetic.noise(file["blocks"], 9, interference=True))
    )
    assert headline(load(synthetic.write_run(tmp_path / "every", every))) == (
        f"No case is compared: interference left too few turns of each. {QUIETER}"
    )
    # A single case is compared with nothing.
    assert headline(load(synthetic.write_run(tmp_path / "one", every[:1]))) == (
        f"The figures are in doubt: interference left too few turns. {QUIETER}"
    )


def test_a_run_of_doubtful_cases_says_so_first(tmp_path: Path) -> None:
    def unsteady(file: dict[str, Any]) -> None:
        file["warmup"]["steady"] = False

    text = headline(load(synthetic.write_run(tmp_path / "run", synthetic.two_cases(unsteady))))
    assert text.startswith(
        "Every case is in doubt (not steady). Measure longer: --max-time 9. Fastest: "
    )
    one, other = synthetic.two_cases()
    unsteady(one)
    text = headline(load(synthetic.write_run(tmp_path / "one", [one, other])))
    assert text.startswith("Fastest: ")


def vague(file: dict[str, Any]) -> None:
    """Compiled steps that take from a tenth to ten times as long."""
    if file["case"]["compile"] != "off":
        steps_s = [0.001, 0.1, 0.002, 0.05]
        lapped = [{"kind": "lapped", "steps": 5, "elapsed_s": 5 * s} for s in steps_s]
        file.update(synthetic.sampled([*lapped, *synthetic.bare(steps_s)]))


def test_a_speed_up_whose_interval_says_nothing_cannot_be_told(tmp_path: Path) -> None:
    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases(vague)))
    assert headline(run).endswith(
        "How fast the step is with torch.compile default cannot be told: generations differ too "
        "much."
    )
    note = "– stands for what cannot be told in default: generations differ so much that the"
    assert note in flowing(printed(run))
    row = table(render(run))[-1]
    assert row["speed-up"] == "–"


def test_the_mean_speed_up_has_an_interval_over_generations(tmp_path: Path) -> None:
    axes = {**synthetic.AXES, "batch_size": [4]}
    # Without workers twice as fast, and with two workers 1.8 to 2.2 times.
    of_case = {(0, "off"): [0.02] * 4, (0, "default"): [0.01] * 4, (2, "off"): [0.02] * 4}
    ratios = [1.8, 2.2, 1.9, 2.1]
    of_case[2, "default"] = [0.02 / ratio for ratio in ratios]
    files = [
        synthetic.case_file(
            case,
            {"step": [0.01] * 8},
            **synthetic.sampled(synthetic.bare(of_case[case["num_workers"], case["compile"]])),
        )
        for case in synthetic.product(axes)
    ]
    text = headline(load(synthetic.write_run(tmp_path / "run", files, axes)))
    logs = [(math.log(2) + math.log(ratio)) / 2 for ratio in ratios]
    mean, error = np.mean(logs), scipy.stats.sem(logs)
    low, high = np.exp(scipy.stats.t.interval(0.95, 3, mean, error))
    assert np.round([math.exp(mean), low, high], 2).tolist() == [2.0, 1.86, 2.15]
    assert text.endswith(
        "With torch.compile default the step is 2.0× (1.8–2.2) as fast as eager in the geometric "
        "mean of 2 cases (2.0× to 2.00×)."
    )


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
    assert text.count(") as fast as the slowest: 2 workers") == 2


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
    assert (
        "the step in training is 1.00× (1.00–1.00) as fast as eager in the geometric mean of 2"
        in text
    )
    assert (
        "the step in evaluation is 1.00× (1.00–1.00) as fast as eager in the geometric mean of 2"
        in text
    )
    rows = [line for line in printed(run, 120).splitlines() if " w0 off  " in line]
    assert [row.split()[0] for row in rows] == ["eval"]
    assert {row["loop"] for row in table(render(run), 1)} == {"train", "eval"}


def test_cases_are_ranked_by_paired_ratios_where_the_machine_changed(tmp_path: Path) -> None:
    """The machine is three times slower for the group of the last case, which is the fastest."""
    axes = {**synthetic.AXES, "batch_size": [4], "compile": ["off"], "num_workers": [0, 1, 2]}
    steps_s = ([0.010] * 4, [0.012] * 4, [0.024] * 4)
    files = [
        synthetic.case_file(case, {"step": [0.01] * 8}, **synthetic.sampled(synthetic.bare(own_s)))
        for case, own_s in zip(synthetic.product(axes), steps_s, strict=True)
    ]
    for turn in files[2]["turns"]:
        turn["group"] = 1
    again = synthetic.turns(synthetic.bare([0.030] * 4))
    files[0]["turns"] += [{**turn, "group": 1} for turn in again]
    run = load(synthetic.write_run(tmp_path / "run", files, axes))
    assert headline(run).startswith("Fastest: 2 workers")


def test_a_case_of_one_generation_takes_no_part_in_a_ranking(tmp_path: Path) -> None:
    run = of_steps(tmp_path, [[0.020] * 4, [0.030] * 4, [0.005]])
    assert headline(run).startswith("Fastest: 0 workers")
    assert "slowest: 1 worker" in headline(run)
