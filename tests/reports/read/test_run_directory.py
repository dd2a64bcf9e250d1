import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import stepbench_reports
from stepbench_reports.errors import ReportError
from stepbench_reports.read.run_directory import load
from stepbench_reports.render.markdown import render
from support import synthetic

EAGER, COMPILED = "convnet-cpu-b4-w0-off-fp32", "convnet-cpu-b4-w0-default-fp32"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2], "is not valid JSON"),
        (lambda _: "", "is not valid JSON"),
        (lambda _: "[1, 2]", "top level: expected `object`"),
        (lambda text: text.replace('"forward": [0.003', '"forward": [NaN'), "is not valid JSON"),
        (
            lambda text: text.replace('"forward": [0.003, ', '"forward": ['),
            "laps: laps by the host",
        ),
        (lambda text: text.replace('"forward": [0.003', '"forward": ["x"'), "laps.host"),
        (lambda text: text.replace('"forward": [0.003', '"forward": [1e999'), "out of range"),
        (lambda text: text.replace('"schema": 4', '"schema": 2'), "schema: is 2"),
        (lambda text: text.replace('"accumulate": 1', '"accumulate": 0'), "case.accumulate"),
        (lambda text: text.replace('"elapsed_s": 0.05', '"elapsed_s": 1e999'), "out of range"),
        (lambda text: text.replace('"batch_size": 4', '"batch_size": null'), "case.batch_size"),
        (
            lambda text: text.replace('"blocks": [{', '"blocks": [{"kind": "odd"}, {', 1),
            "blocks[0]",
        ),
        (lambda text: text.replace('"blocks": [{', '"blocks": [], "b": [{', 1), "blocks: expected"),
        (lambda text: text.replace('"laps"', '"lap"'), "missing required field `laps`"),
        (lambda text: text.replace('"id": "convnet', '"id": "resnet'), "the id of another case"),
    ],
)
def test_a_damaged_case_is_named_and_the_rest_is_reported(
    tmp_path: Path, damage: Any, said: str
) -> None:
    path = synthetic.write_run(tmp_path / "run", synthetic.two_cases())
    file = path / "cases" / f"{EAGER}.json"
    file.write_text(damage(file.read_text()))
    run = load(path)
    (problem,) = run.problems
    assert EAGER in problem
    assert said in problem
    assert f"--resume {path}" in problem
    cases = run.cases.set_index("id")
    assert cases.loc[EAGER, "status"] == "damaged"
    assert cases.loc[COMPILED, "step_s"] == pytest.approx(0.008)
    assert cases["speedup"].isna().all()
    assert problem.removeprefix(f"cases/{EAGER}.json: ") in str(cases.loc[EAGER, "reason"])
    stepbench_reports.write(run)


def test_a_file_of_a_later_stepbench_is_named_with_what_reads_it(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path / "run", synthetic.two_cases())
    file = path / "cases" / f"{EAGER}.json"
    file.write_text(file.read_text().replace('"schema": 4', '"schema": 5'))
    (problem,) = load(path).problems
    assert "schema: is 5, but this stepbench reads up to 4" in problem
    assert "--resume" not in problem


@pytest.mark.parametrize("folder", ["parity", "train-parity", "profiles"])
def test_a_damaged_file_beside_a_case_counts_as_none_and_is_named(
    tmp_path: Path, folder: str
) -> None:
    path = synthetic.write_run(tmp_path / "run", synthetic.two_cases())
    (path / folder).mkdir()
    (path / folder / f"{EAGER}.json").write_text('{"schema": 2, "id": 3}')
    run = load(path)
    (problem,) = run.problems
    assert problem.startswith(f"{folder}/{EAGER}.json: ")
    assert f"--resume {path}" in problem
    assert [m.ok for m in run.measurements] == [True, True]
    assert not run.profiled
    assert not any(m.parity.compared for m in run.measurements)


def test_no_run_here(tmp_path: Path) -> None:
    with pytest.raises(
        stepbench_reports.ReportError, match=r"holds no run \(it has no run.json\); give a"
    ):
        load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"axes": {}, "cases": [1]}'])
def test_a_damaged_run(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(stepbench_reports.ReportError, match="start a new run"):
        load(tmp_path)


def test_a_newer_schema_is_refused_with_the_version_to_use(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path / "run", [], schema=5, stepbench="3.1.4")
    with pytest.raises(
        stepbench_reports.ReportError, match=r"schema: is 5.*up to 4.*stepbench 3\.1\.4"
    ):
        load(path)


def test_an_unknown_schema_is_refused(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path / "run", [], schema=1)
    with pytest.raises(
        stepbench_reports.ReportError, match=r"schema: is 1.*reads 4.*start a new run"
    ):
        load(path)


def test_loading_changes_nothing(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path / "run", synthetic.two_cases())
    before = {file: file.read_bytes() for file in path.rglob("*.json")}
    run = load(str(path))
    assert len(run.cases) == 2
    assert {file: file.read_bytes() for file in path.rglob("*.json")} == before
    assert json.loads((path / "run.json").read_text())["command"] == run.facts.command


OPTIONAL = ("detail", "axis", "start_s", "micro_laps", "compile")
"""The fields of a measured case that may be `null`, or missing."""


@pytest.mark.parametrize("change", ["null", "missing"])
def test_what_a_case_need_not_have_may_be_missing(tmp_path: Path, change: str) -> None:
    def damage(file: dict[str, Any]) -> None:
        for name in OPTIONAL:
            file[name] = None
            if change == "missing":
                del file[name]
        file["memory"] = {"host_peak_bytes": 1}
        file["work"] = {"flops": None, "bytes": None, "operators": None}
        file["data"]["length"] = None

    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases(damage)))
    assert not run.problems
    assert run.cases["step_s"].tolist() == pytest.approx([0.010, 0.008])
    assert run.cases[["flops", "start_s", "saved_bytes", "graphs"]].isna().all(axis=None)
    printed = io.StringIO()
    stepbench_reports.show(run, Console(file=printed, width=80))
    text = render(run) + printed.getvalue()
    assert not re.search(r"\b(nan|inf|None)\b", text)


NEEDED = {"schema", "id", "started", "command", "stepbench", "axes", "cases"}
"""The fields without which `run.json` is none."""


def test_what_a_run_need_not_have_may_be_missing(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path / "run", synthetic.two_cases())
    facts = json.loads((path / "run.json").read_text())
    needed = {name: value for name, value in facts.items() if name in NEEDED}
    (path / "run.json").write_text(json.dumps(needed))
    run = load(path)
    stepbench_reports.write(run)
    assert "None" not in render(run)
    stepbench_reports.show(run, Console(file=io.StringIO(), width=80))
    assert len(run.cases) == 2


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_what_a_run_needs_is_named_where_it_is_missing(tmp_path: Path, name: str) -> None:
    path = synthetic.write_run(tmp_path / "run", synthetic.two_cases())
    facts = json.loads((path / "run.json").read_text())
    del facts[name]
    (path / "run.json").write_text(json.dumps(facts))
    with pytest.raises(stepbench_reports.ReportError, match=rf"`{name}`.*start a new run"):
        load(path)


@pytest.mark.parametrize("case_id", ["../../outside", "/etc/passwd", "a/../../b", "..", ""])
def test_a_crafted_id_is_no_path(tmp_path: Path, case_id: str) -> None:
    path = synthetic.write_run(tmp_path / "deep" / "run", synthetic.two_cases())
    facts = json.loads((path / "run.json").read_text())
    (tmp_path / "deep" / "outside.json").write_text((path / "cases" / f"{EAGER}.json").read_text())
    facts["cases"][0] = case_id
    (path / "run.json").write_text(json.dumps(facts))
    with pytest.raises(ReportError, match=r"run\.json: is damaged \(cases\[0\]: expected `str`"):
        load(path)


def test_a_report_is_not_written_through_a_link(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path / "run", synthetic.two_cases())
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "phases.svg").write_text("precious")
    (path / "figures").symlink_to(precious)
    (path / "report.md").symlink_to(precious / "phases.svg")
    with pytest.raises(ReportError, match=r"figures: is a link.*remove it"):
        stepbench_reports.write(load(path))
    (path / "figures").unlink()
    stepbench_reports.write(load(path))
    assert [file.name for file in precious.iterdir()] == ["phases.svg"]
    assert (precious / "phases.svg").read_text() == "precious"
