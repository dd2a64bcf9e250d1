import csv
from pathlib import Path

import pytest

from stepbench_reports.read import operators
from stepbench_reports.read.run import Run
from stepbench_reports.read.run_directory import load
from stepbench_reports.render.writing import write
from support import synthetic, synthetic_profile


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return load(synthetic_profile.write_run(tmp_path / "run"))


def test_figures_are_per_step_and_shares_of_the_case(run: Run) -> None:
    found = operators.frame(run)
    assert len(found) == len(synthetic_profile.EAGER) + len(synthetic_profile.COMPILED)
    first = found.iloc[0]
    assert (first["calls"], first["host_self_s"], first["share"]) == (2, 0.003, 0.3)
    assert found.groupby("case")["share"].sum().tolist() == pytest.approx([1, 1])
    merged = operators.without_shapes(found)
    addmm = merged[merged["operator"] == "aten::addmm"].iloc[0]
    assert (addmm["calls"], addmm["host_self_s"]) == (3, pytest.approx(0.004))


def test_a_run_without_profiles_has_none(tmp_path: Path) -> None:
    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases()))
    assert operators.frame(run).empty
    assert "operators.csv" not in {path.name for path in write(run)}


def test_all_of_them_are_in_the_csv(run: Run) -> None:
    write(run)
    with (run.path / "operators.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(synthetic_profile.EAGER) + len(synthetic_profile.COMPILED)
    assert float(rows[0]["host_self_s"]) == 0.003
    assert rows[0]["shapes"] == "[8] [4, 2]"
