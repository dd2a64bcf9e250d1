import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import stepbench_reports
from stepbench_reports.read.run_directory import load
from stepbench_reports.render.markdown import render
from support import synthetic

EAGER, COMPILED = "convnet-cpu-b4-w0-off-fp32", "convnet-cpu-b4-w0-default-fp32"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2], "damaged"),
        (lambda _: "", "damaged"),
        (lambda _: "[1, 2]", "no object"),
        (lambda text: text.replace('"forward": [0.003', '"forward": [NaN'), "NaN is no figure"),
        (lambda text: text.replace('"forward": [0.003, ', '"forward": ['), "unequally many"),
        (lambda text: text.replace('"forward": [0.003', '"forward": ["x"'), "no numbers"),
        (lambda text: text.replace('"forward": [0.003', '"forward": [1e999'), "not all numbers"),
        (lambda text: text.replace('"schema": 2', '"schema": 3'), "schema is 3"),
        (lambda text: text.replace('"accumulate": 1', '"accumulate": 0'), "accumulate is 0"),
        (lambda text: text.replace('"elapsed_s": 0.05', '"elapsed_s": 1e999'), "a block of it is"),
        (lambda text: text.replace('"batch_size": 4', '"batch_size": null'), "batch size is None"),
        (lambda text: text.replace('"blocks"', '"bricks"'), "no blocks"),
        (lambda text: text.replace('"laps"', '"lap"'), "no laps"),
        (lambda text: text.replace('"id": "convnet', '"id": "resnet'), "not this case's"),
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
    assert cases.loc[COMPILED, "step_s"] == 0.008
    assert cases["speedup"].isna().all()
    stepbench_reports.write(run)


def test_no_run_here(tmp_path: Path) -> None:
    with pytest.raises(
        stepbench_reports.ReportError, match=r"holds no run \(it has no run.json\); name a"
    ):
        load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"axes": {}, "cases": [1]}'])
def test_a_damaged_run(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(stepbench_reports.ReportError, match="begin a new run"):
        load(tmp_path)


def test_a_newer_schema_is_refused_with_the_version_to_use(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path / "run", [], schema=3, stepbench="3.1.4")
    with pytest.raises(
        stepbench_reports.ReportError, match=r"schema 3.*up to 2.*stepbench 3\.1\.4"
    ):
        load(path)


def test_an_unknown_schema_is_refused(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path / "run", [], schema=1)
    with pytest.raises(stepbench_reports.ReportError, match=r"schema 1.*reads 2; begin a new run"):
        load(path)


def test_loading_changes_nothing(tmp_path: Path) -> None:
    path = synthetic.write_run(tmp_path / "run", synthetic.two_cases())
    before = {file: file.read_bytes() for file in path.rglob("*.json")}
    run = load(str(path))
    assert len(run.cases) == 2
    assert {file: file.read_bytes() for file in path.rglob("*.json")} == before
    assert json.loads((path / "run.json").read_text()) == run.facts


def _emptied(value: Any) -> Any:
    """The same objects and lists with `null` in every place."""
    if isinstance(value, dict):
        return {name: _emptied(each) for name, each in value.items()}
    return [_emptied(each) for each in value] if isinstance(value, list) else None


NEEDED = ("schema", "id", "case", "status", "laps", "blocks")
CHANGES: dict[str, Any] = {
    "null": lambda _: None,
    "missing": None,
    "null inside": _emptied,
    "a word": lambda _: "x",
    "a list": lambda _: [1, None, {}],
    "a number": lambda _: -1e999,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_case_need_not_have_may_be_anything(tmp_path: Path, change: str) -> None:
    def damage(file: dict[str, Any]) -> None:
        for name in [name for name in file if name not in NEEDED]:
            if CHANGES[change] is None:
                del file[name]
            else:
                file[name] = CHANGES[change](file[name])

    path = synthetic.write_run(tmp_path / "run", synthetic.two_cases(damage))
    for file in path.glob("cases/*.json"):  # JSON knows no infinity, but so large a number
        file.write_text(file.read_text().replace("-Infinity", "-1e999"))
    run = load(path)
    assert not run.problems
    assert run.cases["step_s"].tolist() == [0.010, 0.008]
    assert run.cases[["flops", "loader_samples_per_s", "noise_set_aside"]].isna().all(axis=None)
    told = io.StringIO()
    stepbench_reports.show(run, Console(file=told, width=80))
    text = render(run) + told.getvalue()
    assert not re.search(r"\b(nan|inf|None)\b", text)


@pytest.mark.parametrize("change", ["null", "missing", "a word"])
def test_what_a_run_need_not_have_may_be_missing(tmp_path: Path, change: str) -> None:
    path = synthetic.write_run(tmp_path / "run", synthetic.two_cases())
    facts = json.loads((path / "run.json").read_text())
    for name in [name for name in facts if name not in {"schema", "axes", "cases"}]:
        facts[name] = "x" if change == "a word" else None
        if change == "missing":
            del facts[name]
    (path / "run.json").write_text(json.dumps(facts))
    run = load(path)
    stepbench_reports.write(run)
    assert "None" not in render(run)
    stepbench_reports.show(run, Console(file=io.StringIO(), width=80))
    assert len(run.cases) == 2
