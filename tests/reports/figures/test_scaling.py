"""The lines of throughput and memory against batch size."""

from pathlib import Path
from typing import Any

from stepbench_reports.figures.scaling import line_label, lines
from stepbench_reports.read.run_directory import load
from support import synthetic


def test_a_line_has_cases_that_differ_in_one_axis_alone(tmp_path: Path) -> None:
    run = load(synthetic.write_run(tmp_path / "run", synthetic.eight_cases()))
    found = lines(run, "batch_size").values()
    assert [[m.axes["batch_size"] for m in line] for line in found] == [[4, 32]] * 3
    labels = [line_label(line, ["num_workers", "compile"]) for line in found]
    assert labels == ["w0 off", "w0 default", "w2 off"]  # one of the fourth crashed
    assert line_label(next(iter(found)), []) == ""


def test_cases_that_are_not_compared_are_on_no_line(tmp_path: Path) -> None:
    def disturbed(file: dict[str, Any]) -> None:
        file["noise"] = synthetic.noise(file["blocks"], 9, interference=True)

    files = synthetic.eight_cases()
    disturbed(files[0])
    run = load(synthetic.write_run(tmp_path / "run", files))
    assert len(lines(run, "batch_size")) == 2
