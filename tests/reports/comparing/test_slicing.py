from pathlib import Path

import pytest

from stepbench_reports.comparing.slicing import baseline, by, where
from stepbench_reports.errors import ReportError
from stepbench_reports.read.run import Run
from stepbench_reports.read.run_directory import load
from support import synthetic


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return load(synthetic.write_run(tmp_path / "run", synthetic.eight_cases()))


@pytest.fixture
def two(tmp_path: Path) -> Run:
    return load(synthetic.write_run(tmp_path / "two", synthetic.two_cases()))


def cells(line: str) -> list[str]:
    return [cell.strip().replace("\N{NO-BREAK SPACE}", " ") for cell in line.split("|")[1:-1]]


def test_a_condition_is_one_of_pandas(run: Run) -> None:
    found = where(run, "batch_size == 32 and compile == 'off'")
    assert [m.id for m in found.measurements] == [
        "convnet-cpu-b32-w0-off-fp32", "convnet-cpu-b32-w2-off-fp32",
    ]  # fmt: skip
    assert len(found.cases) == 2


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("batch = 3", "--where batch = 3"),
        ("nothing > 1", "nothing"),
        ("steps < 0", "no case meets the condition; the run has 8 cases"),
    ],
)
def test_a_condition_that_cannot_be_is_refused(condition: str, told: str, run: Run) -> None:
    with pytest.raises(ReportError, match=told):
        where(run, condition)


def test_by_an_axis_has_a_column_for_each_value(two: Run) -> None:
    table = by(two, "compile")
    assert cells(table.lines[0]) == ["case", "eager", "torch.compile default", "last / first"]
    assert cells(table.lines[2])[1:3] == ["400", "500"]
    assert cells(table.lines[2])[3].startswith("1.25×")
    assert cells(table.lines[3])[:3] == ["**geometric mean of the ratios**", "1.00×", "1.25×"]


def test_a_baseline_is_what_every_other_case_is_compared_with(two: Run) -> None:
    table = baseline(two, "compile=off")
    assert cells(table.lines[2])[1:4] == ["torch.compile default", "400", "500"]
    assert cells(table.lines[2])[4].startswith("1.25×")
    assert cells(table.lines[3])[-1] == "1.25× (1.25–1.25)"
    assert baseline(two, "compile=default").lines[2].count("0.80×") == 1


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ("compile", "give an axis and a value"),
        ("compiles=off", "there is no such axis; give one of compile"),
        ("compile=fast", "no case has this value; give one of off, default"),
    ],
)
def test_a_baseline_that_is_not_there_is_refused(told: str, wanted: str, two: Run) -> None:
    with pytest.raises(ReportError, match=wanted):
        baseline(two, told)


def test_axes_that_mean_nothing_with_a_value_do_not_keep_cases_apart(tmp_path: Path) -> None:
    axes = {name: values[0] for name, values in synthetic.AXES.items()}
    files = [
        synthetic.case_file(
            {**axes, "compile": compiled, "dynamic": dynamic}, {"step": [step_s] * 8}
        )
        for compiled, dynamic, step_s in (
            ("off", "auto", 0.008), ("default", "on", 0.004), ("default", "off", 0.002),
        )
    ]  # fmt: skip
    run = load(synthetic.write_run(tmp_path / "run", files))
    ratios = [cells(line)[-1].partition(" ")[0] for line in baseline(run, "compile=off").lines[2:]]
    assert ratios == ["2.00×", "4.00×", "2.83×"]
    rows = [cells(line) for line in by(run, "compile").lines[2:]]
    assert [[*row[1:3], row[3].partition(" ")[0]] for row in rows] == [
        ["500", "1,000", "2.00×"], ["500", "2,000", "4.00×"], ["1.00×", "2.83×", ""],
    ]  # fmt: skip


def test_no_mean_includes_a_case_with_interference(tmp_path: Path) -> None:
    axes = {**synthetic.AXES, "batch_size": [4], "num_workers": [0, 2]}
    files = [
        synthetic.case_file(case, {"step": [0.001 * (8 - 4 * (case["compile"] != "off"))] * 8})
        for case in synthetic.product(axes)
    ]
    synthetic.slow_down(files[-1], 5.0)
    files[-1]["noise"] = synthetic.noise(files[-1]["blocks"], 9, interference=True)
    run = load(synthetic.write_run(tmp_path / "run", files, axes))
    ratios = [cells(line)[-1].partition(" ")[0] for line in baseline(run, "compile=off").lines[2:]]
    assert ratios == ["2.00×", "0.40×", "2.00×"]
    assert cells(by(run, "compile").lines[-1])[1:3] == ["1.00×", "2.00×"]


def test_a_mean_of_ratios_has_the_digits_that_its_interval_supports(tmp_path: Path) -> None:
    files = synthetic.two_cases()
    for file, steps_s in zip(files, ([0.0210, 0.0195], [0.010, 0.010]), strict=True):
        file.update(synthetic.sampled(synthetic.bare(steps_s)))
    run = load(synthetic.write_run(tmp_path / "run", files))
    # A ratio of 2.10 in one generation and of 1.95 in the other.
    assert cells(by(run, "compile").lines[-1])[1:3] == ["1.00×", "2×"]


def test_a_value_is_found_in_any_letters(tmp_path: Path) -> None:
    axes = {name: values[0] for name, values in synthetic.AXES.items()}
    files = [
        synthetic.case_file({**axes, "compile": compiled}, {"step": [0.01] * 8})
        for compiled in ("backend:Mine", "default")
    ]
    run = load(synthetic.write_run(tmp_path / "run", files))
    assert len(baseline(run, "compile=backend:Mine").lines) == 4
