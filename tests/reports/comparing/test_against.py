import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from stepbench_reports.comparing.against import NOT_PAIRED, against, headline, markdown
from stepbench_reports.read.run import Run
from stepbench_reports.read.run_directory import load
from support import synthetic
from support.reading import table


def written(place: Path, factor: float = 1.0, **facts: Any) -> Run:
    """Two cases whose steps take so many times as long as usual."""
    files = synthetic.two_cases()
    for file in files:
        synthetic.slow_down(file, factor)
    return load(synthetic.write_run(place, files, id=place.name, **facts))


def test_cases_are_paired_and_slower_is_below_one(tmp_path: Path) -> None:
    found = against(written(tmp_path / "here", 1.25), written(tmp_path / "there"))
    assert [pair.ratio.value for pair in found.pairs] == pytest.approx([0.8, 0.8])
    assert found.mean_ratio == pytest.approx(0.8)
    assert not found.machines_differ
    assert found.differences == ()
    assert headline(found) == "2 cases in both, 0.80× as fast in the geometric mean."


def test_what_only_one_has_is_named(tmp_path: Path) -> None:
    here = written(tmp_path / "here")
    files = synthetic.two_cases()[:1]
    there = load(synthetic.write_run(tmp_path / "there", files))
    found = against(here, there)
    assert [m.axes["compile"] for m in found.only_run] == ["default"]
    assert "Only in this run: convnet-cpu-b4-w0-default-fp32." in markdown(here, [there])


def test_what_differs_beside_the_figures_is_told(tmp_path: Path) -> None:
    machine = {**synthetic.run_facts({}, [])["machine"], "cpu": "Another"}
    packages = {**synthetic.run_facts({}, [])["packages"], "torch": "2.16.0"}
    here = written(tmp_path / "here", machine=machine, packages=packages)
    found = against(here, written(tmp_path / "there"))
    assert found.machines_differ
    assert "torch: 2.16.0; other run: 2.15.0" in found.differences
    text = markdown(here, [written(tmp_path / "other")])
    assert "ratios compare machines" in text
    assert headline(found).startswith("Different machines: ")


def test_several_runs_make_a_trend_from_the_oldest_on(tmp_path: Path) -> None:
    runs = [
        written(tmp_path / name, factor, started=f"2026-11-{day}T12:00:00+00:00")
        for name, factor, day in (("mon", 1.0, 23), ("wed", 0.5, 25), ("tue", 0.8, 24))
    ]
    text = markdown(runs[1], [runs[0], runs[2]])
    assert text.splitlines()[2] == f"> {NOT_PAIRED}"
    heads = [cell.strip() for cell in text.splitlines()[6].split("|")[1:-1]]
    assert heads == ["case", "mon", "tue", "wed", "last / first"]
    assert "2.00×" in text


def test_a_case_that_trains_another_model_is_not_faster(tmp_path: Path) -> None:
    here, there = written(tmp_path / "here", 0.5), written(tmp_path / "there")
    (here.path / "parity").mkdir()
    (case, _) = here.measurements
    content = synthetic.parity_file(case.axes, "fail")
    (here.path / "parity" / f"{case.id}.json").write_text(json.dumps(content))
    here = load(here.path)
    found = against(here, there)
    assert len(found.counted) == 1
    assert headline(found) == (
        "2 cases in both, 2.0× as fast in the geometric mean (1 with failed parity left out)."
    )
    rows = table(markdown(here, [there]))
    assert [row[""] for row in rows] == ["fails parity", ""]
    assert rows[0]["ratio"] == "~~2.00× (2.00–2.00)~~"


def test_a_case_with_interference_is_shown_and_left_out(tmp_path: Path) -> None:
    files = synthetic.two_cases()
    synthetic.slow_down(files[0], 3.0)
    files[0]["noise"] = synthetic.noise(files[0]["blocks"], 9, interference=True)
    here = load(synthetic.write_run(tmp_path / "here", files))
    found = against(here, written(tmp_path / "there"))
    assert found.mean_ratio == pytest.approx(1.0)
    assert headline(found).endswith("geometric mean (1 with interference left out).")
    rows = table(markdown(here, [written(tmp_path / "other")]))
    assert [row[""] for row in rows] == ["! interference", ""]
    assert rows[0]["ratio"].startswith("0.33×")


def test_runs_of_different_times_are_a_trend_without_a_verdict(tmp_path: Path) -> None:
    text = markdown(written(tmp_path / "here", 1.25), [written(tmp_path / "there")])
    assert f"> {NOT_PAIRED}" in text.splitlines()
    assert "stepbench regression" in NOT_PAIRED
    row = table(text)[0]
    assert row == {
        "case": "off", "other, samples/s": "400", "this, samples/s": "320",
        "ratio": "0.80× (0.80–0.80)", "": "",
    }  # fmt: skip
    without_the_hint = text.replace(NOT_PAIRED, "")
    for verdict in ("faster", "slower", "undecided", "regression"):
        assert verdict not in without_the_hint


def test_a_ratio_between_runs_has_the_variance_of_both(tmp_path: Path) -> None:
    files, others = synthetic.two_cases()[:1], synthetic.two_cases()[:1]
    steps_s, other_steps_s = [0.010, 0.011, 0.012], [0.020, 0.021, 0.022, 0.023, 0.024]
    files[0] |= synthetic.sampled(synthetic.bare(steps_s))
    others[0] |= synthetic.sampled(synthetic.bare(other_steps_s))
    runs = [
        load(synthetic.write_run(tmp_path / name, case, id=name))
        for name, case in (("here", files), ("there", others))
    ]
    (pair,) = against(*runs).pairs
    # The logs' means differ by their log ratio; 3 generations leave 2 degrees of freedom.
    logs, other_logs = np.log(steps_s), np.log(other_steps_s)
    value = other_logs.mean() - logs.mean()
    error = math.hypot(scipy.stats.sem(logs), scipy.stats.sem(other_logs))
    half = scipy.stats.t.ppf(0.975, 2) * error
    expected = [math.exp(value + change) for change in (0, -half, half)]
    assert [pair.ratio.value, pair.ratio.low, pair.ratio.high] == pytest.approx(expected)
