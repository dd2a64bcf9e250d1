from pathlib import Path
from typing import Any

import pytest

from stepbench_reports.read.run import Run
from stepbench_reports.render.markdown import render
from stepbench_reports.wording.caveats import caveats
from stepbench_reports.wording.headline import headline
from stepbench_reports.wording.summary import speedup
from support.reading import rows, table, titled, two_cases

COMPILED = "convnet-cpu-b4-w0-default-fp32"


def slow_dataload(file: dict[str, Any]) -> None:
    """Making a batch of the uncompiled case takes 2 ms of 10 ms, and not 1 ms."""
    if file["case"]["compile"] == "off":
        for turn in file["turns"]:
            if turn["kind"] == "lapped":
                turn["phases_s"]["dataload"] = 0.002 * turn["steps"]


def test_controls_that_agree(tmp_path: Path) -> None:
    run = two_cases(tmp_path)
    assert rows(titled(run, "Controls")) == [
        {
            "compile": "default",
            "dataload, off / compiled": "1.00× (1.00–1.00)",
            "of the step": "+0.0 % (+0.0 to +0.0)",
        }
    ]
    assert run.cases.set_index("id").loc[COMPILED, "control_doubtful"] == False  # noqa: E712
    assert "doubtful" not in headline(run)


def test_a_control_that_differs_makes_the_speed_up_doubtful(tmp_path: Path) -> None:
    run = two_cases(tmp_path, slow_dataload)
    (row,) = rows(titled(run, "Controls"))
    assert row["dataload, off / compiled"] == "2.00× (2.00–2.00)"
    assert row["of the step"] == "+10.0 % (+10.0 to +10.0) !"
    assert speedup(run, run.case(COMPILED)) == "1.25×"
    assert table(render(run))[-1]["doubt"] == "! doubtful speed-up"
    assert (
        "! Speed-ups in default are doubtful: the time of making batches, which compiling cannot "
        "touch, differs by 10 % of the step. Measure again with --generations 8."
    ) in caveats(run)
    text = headline(run)
    assert text.startswith(
        "Speed-ups by compiling do not hold: making batches, which compiling cannot touch, took "
        "another time, too. Measure again with --generations 8. Fastest: "
    )
    assert "as fast as eager" not in text
    cases = run.cases.set_index("id")
    assert cases.loc[COMPILED, "control"] == pytest.approx(2.0)
    assert cases.loc[COMPILED, "control_doubtful"]
    assert cases["control_doubtful"].tolist() == [None, True]


def without_control(run: Run) -> bool:
    return not run.controls and "Controls" not in render(run)


def test_loader_workers_make_batches_elsewhere(tmp_path: Path) -> None:
    def with_workers(file: dict[str, Any]) -> None:
        slow_dataload(file)
        file["case"]["num_workers"] = 2

    assert without_control(two_cases(tmp_path, with_workers))


def test_a_device_s_dataload_holds_other_work(tmp_path: Path) -> None:
    def on_a_device(file: dict[str, Any]) -> None:
        slow_dataload(file)
        file["laps"]["device"] = file["laps"]["host"]

    assert without_control(two_cases(tmp_path, on_a_device))
