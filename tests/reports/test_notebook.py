"""A run as a notebook shows it."""

from pathlib import Path

import pytest

import stepbench_reports
from stepbench_reports.errors import ReportError
from stepbench_reports.notebook import NotebookRun
from support import synthetic


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> NotebookRun:
    directory = tmp_path_factory.mktemp("notebook") / "run"
    return stepbench_reports.load(synthetic.write_run(directory, synthetic.eight_cases()))


def test_the_text_of_a_run_is_its_report(run: NotebookRun) -> None:
    text = repr(run)
    assert "b32 w2 off" in text
    assert "Fastest: batch size 32" in text
    assert "\x1b" not in text


def test_a_notebook_shows_headline_and_table(run: NotebookRun) -> None:
    shown = run._repr_html_()  # what IPython calls
    assert shown.startswith("<p><strong>Fastest")
    assert shown.count("<tr>") == 9
    assert "3,450" in shown


def test_untrusted_text_is_escaped(tmp_path: Path) -> None:
    (case,) = synthetic.two_cases()[:1]
    case["case"]["workload"] = "<script>.py:make"
    run = stepbench_reports.load(synthetic.write_run(tmp_path / "run", [case]))
    assert "<script>" not in run._repr_html_()


def test_cases_are_compared_by_an_axis(run: NotebookRun) -> None:
    compared = run.compare("num_workers")
    assert str(compared).startswith("| case | 0 workers | 2 workers |")
    assert "<table" in compared._repr_html_()
    with pytest.raises(ReportError, match="no such axis"):
        run.compare("colour")


def test_figures_are_shown(run: NotebookRun) -> None:
    assert run.plot()._repr_svg_().startswith("<?xml")
    assert run.plot("workers").title == "Throughput by loader workers"
    with pytest.raises(ReportError, match="give one of phases, batch-size"):
        run.plot("pie")


def test_it_is_the_run_that_was_read(run: NotebookRun) -> None:
    assert run.facts == stepbench_reports.load(run.path).facts
    assert run.cases["id"].to_list() == [m.id for m in run.measurements]
