import json
from pathlib import Path
from typing import Any

import pytest

from stepbench_reports.comparing.against import against, headline, markdown
from stepbench_reports.read.run import Run
from stepbench_reports.read.run_directory import load
from support import synthetic


def written(place: Path, factor: float = 1.0, **facts: Any) -> Run:
    """Two cases whose steps take so many times as long as usual."""
    files = synthetic.two_cases()
    for file in files:
        for laps in file["laps"]["host"].values():
            laps[:] = [lap * factor for lap in laps]
        for block in file["blocks"]:
            block["elapsed_s"] *= factor
    return load(synthetic.write_run(place, files, id=place.name, **facts))


def test_cases_are_paired_and_slower_is_below_one(tmp_path: Path) -> None:
    found = against(written(tmp_path / "here", 1.25), written(tmp_path / "there"))
    assert [pair.ratio.value for pair in found.pairs] == pytest.approx([0.8, 0.8])
    assert found.mean_ratio == pytest.approx(0.8)
    assert not found.machines_differ
    assert found.differences == ()
    assert all(pair.decided for pair in found.pairs)
    assert headline(found).startswith("2 cases in both: 0 faster, 2 slower, 0 undecided")


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
    heads = [cell.strip() for cell in text.splitlines()[4].split("|")[1:-1]]
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
    assert (
        "1 faster, 0 slower, 0 undecided (interval contains 1), 1 with failed parity"
        in headline(found)
    )
    assert "| fails parity |" in markdown(here, [there])
