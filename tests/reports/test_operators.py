import csv
import json
from pathlib import Path
from typing import Any

import pytest
import synthetic
from rich.console import Console

from reports import operators
from reports.__main__ import main
from reports.directory import load
from reports.errors import ReportError
from reports.frame import Run
from reports.sections import sections
from reports.terminal import show
from reports.writing import write

STEPS = 2
EAGER = [
    ("forward", "aten::addmm", "[8] [4, 2]", 4, 0.006, 0),
    ("forward", "aten::addmm", "[2] [4, 8]", 2, 0.002, 64),
    ("forward", "(outside operators)", "", 2, 0.002, 0),
    ("backward", "aten::mm", "", 4, 0.010, 512),
]
COMPILED = [
    ("forward", "graph_0_cpp_fused_0", "", 2, 0.003, 0),
    ("forward", "(outside operators)", "", 2, 0.003, 0),
    ("backward", "aten::mm", "", 4, 0.008, 512),
]


def profile(rows: list[tuple[Any, ...]], *, device_s: float = 0.0, **more: Any) -> dict[str, Any]:
    names = ("phase", "operator", "shapes", "calls", "host_self_s", "allocated_bytes")
    found = [
        {**dict(zip(names, row, strict=True)), "device_self_s": device_s * number}
        for number, row in enumerate(rows)
    ]
    return {
        "trace": {"bytes": 80_000, "events": 2000},
        "board": {"bytes": 900_000, "left_out": {"graph": "failed: no | trace"}},
        "breakdown": {
            "steps": STEPS, "step_s": 0.022, "phase_s": {}, "rows": found,
            "device_idle": {"0": 0.25} if device_s else {},
            "memory_peak_bytes": {"cpu": 2 * 2**20},
        },
        "curves": None, "workers": None, "snapshot_bytes": None, "elapsed_s": 1.0, **more,
    }  # fmt: skip


def written(place: Path, **more: Any) -> Path:
    files = synthetic.two_cases()
    synthetic.write_run(place, files)
    (place / "profiles").mkdir()
    for file, rows in zip(files, (EAGER, COMPILED), strict=True):
        content = {
            "schema": 1, "id": file["id"], "case": file["case"], "status": "ok", "reason": None,
            "profile": profile(rows, **more),
        }  # fmt: skip
        (place / "profiles" / f"{file['id']}.json").write_text(json.dumps(content))
    return place


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return load(written(tmp_path / "run"))


def test_figures_are_per_step_and_shares_of_the_case(run: Run) -> None:
    found = operators.frame(run)
    assert len(found) == len(EAGER) + len(COMPILED)
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
    assert len(rows) == len(EAGER) + len(COMPILED)
    assert float(rows[0]["host_self_s"]) == 0.003
    assert rows[0]["shapes"] == "[8] [4, 2]"


def test_what_accounts_for_a_difference_adds_up_to_it(run: Run) -> None:
    a, b = operators.find(run, "off"), operators.find(run, "default")
    found = operators.difference(run, a, b)
    assert found.iloc[0]["operator"] == "aten::addmm"
    assert found.iloc[0]["difference_s"] == pytest.approx(-0.004)
    assert found["difference_s"].sum() == pytest.approx((0.014 - 0.020) / STEPS)
    assert found["a_s"].sum() == pytest.approx(0.020 / STEPS)
    assert len(operators.difference(run, a, b, shapes=True)) == len(found) + 1
    assert found.attrs["clock"] == "host"


def test_on_a_device_it_is_the_devices_time(tmp_path: Path) -> None:
    run = load(written(tmp_path / "run", device_s=0.001))
    found = operators.difference(run, operators.find(run, "off"), operators.find(run, "default"))
    assert found.attrs["clock"] == "device"
    assert found["a_s"].sum() == pytest.approx(0.006 / STEPS)
    (shown,) = [section for section in sections(run) if section.title == "Operators"]
    assert shown.grid is not None
    assert "device, µs" in shown.grid.lines[0]
    (traces,) = [section for section in sections(run) if section.title == "Traces"]
    assert traces.grid is not None
    assert "25 %" in traces.grid.lines[2].replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("b4", "2 cases are called so"),
        ("b8-w0", "no case is called so; there is convnet-cpu-b4-w0"),
    ],
)
def test_a_name_that_is_not_one_cases_is_refused(word: str, told: str, run: Run) -> None:
    with pytest.raises(ReportError, match=told):
        operators.find(run, word)


def test_a_case_that_was_not_profiled_is_refused(tmp_path: Path) -> None:
    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases()))
    with pytest.raises(ReportError, match="--profile"):
        operators.find(run, "off")


def test_the_command_prints_the_difference_and_writes_nothing(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run.path), "--operators", "off", "default"]) == 0
    shown = capsys.readouterr().out
    assert "default against off" in shown
    assert "aten::addmm" in shown
    assert "-4,000" in shown
    assert not (run.path / "report.md").exists()
    assert main([str(run.path), "--operators", "off", "nothing"]) == 4
    assert "no case is called so" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([str(run.path), "--shapes"])


def test_the_report_shows_the_longest_and_what_was_left_out(run: Run) -> None:
    write(run)
    text = (run.path / "report.md").read_text()
    assert "<summary>Operators</summary>" in text
    assert "aten::addmm" in text
    assert "2.0" in text
    assert r"failed: no \| trace" in text


def test_the_terminal_says_where_to_look(run: Run, tmp_path: Path) -> None:
    console = Console(record=True, width=400)
    show(run, console)
    shown = console.export_text()
    assert "2 cases profiled: see operators.csv" in shown
    assert f"python -m bench.tensorboard {run.path}" in shown
    console = Console(record=True)
    show(load(synthetic.write_run(tmp_path / "plain", synthetic.two_cases())), console)
    assert "profiled" not in console.export_text()


def test_the_report_shows_what_loader_workers_did(tmp_path: Path) -> None:
    worker = {
        "worker": 1, "batches": 10, "samples": 100, "elapsed_s": 1.0,
        "seconds": {"read": 0.5, "ToTensor": 0.25, "collate": 0.05, "hand over": 0.2},
    }  # fmt: skip
    run = load(written(tmp_path / "run", workers=[worker]))
    (section,) = [s for s in sections(run) if s.title.startswith("Loader workers")]
    assert section.grid is not None
    row = section.grid.lines[2].replace("\N{NO-BREAK SPACE}", " ")
    assert "| 1 | 100 | 10,000 | 5,000 (50 %) | 2,500 (25 %) | 500 (5 %) | 2,000 (20 %) |" in row


def test_a_profile_that_failed_is_told(tmp_path: Path) -> None:
    place = written(tmp_path / "run")
    (file,) = (place / "profiles").glob("*default*")
    content = json.loads(file.read_text())
    content |= {"status": "timeout", "reason": "not done after 3 s", "profile": None}
    file.write_text(json.dumps(content))
    run = load(place)
    (traces,) = [section for section in sections(run) if section.title == "Traces"]
    assert any("not done after 3 s" in line for line in traces.lines)
