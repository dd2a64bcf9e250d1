from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic

from reports.directory import load
from reports.frame import Run
from reports.section import Section
from reports.sections import first_sentence, sections


def titled(run: Run, title: str) -> Section:
    (found,) = [section for section in sections(run) if section.title.startswith(title)]
    return found


def rows(section: Section) -> list[dict[str, str]]:
    assert section.grid is not None
    lines = [
        [cell.strip().replace("\N{NO-BREAK SPACE}", " ") for cell in line.split("|")[1:-1]]
        for line in section.grid.lines
    ]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def two_cases(tmp_path: Path, change: Any = None, **facts: Any) -> Run:
    return load(synthetic.write_run(tmp_path / "run", synthetic.two_cases(change), **facts))


def on_a_device(tmp_path: Path, **axes: Any) -> Run:
    case = {
        **{name: values[0] for name, values in synthetic.AXES.items()},
        "device": "cuda",
        **axes,
    }
    host = {"dataload": [0.004] * 8, "forward": [0.001] * 8, "step": [0.005] * 8}
    device = {"dataload": [0.001] * 8, "transfer": [0.001] * 8, "forward": [0.003] * 8}
    device["step"] = [0.005] * 8
    file = synthetic.case_file(case, host, device)
    file["micro_laps"] = {
        "dataload": None,
        "backward": [[0.003, 0.001, 0.002], [0.003, 0.001, 0.002]],
        "forward": [[0.001] * 12, [0.001] * 10 + [0.003] * 2],
    }
    return load(synthetic.write_run(tmp_path / "run", [file]))


def test_the_loader_by_itself(tmp_path: Path) -> None:
    assert rows(titled(two_cases(tmp_path), "The loader"))[0] == {
        "compile": "off", "samples/s": "7,410", "over batches": "120", "start": "0.031 s",
        "restart": "0.045 s", "kept ready": "0", "waited a step, ms": "1.0",
    }  # fmt: skip


def test_a_loader_that_was_disturbed_is_marked(tmp_path: Path) -> None:
    def disturb(file: dict[str, Any]) -> None:
        file["loader"]["disturbed"] = file["case"]["compile"] == "off"

    run = two_cases(tmp_path, disturb)
    assert [row["noise"] for row in rows(titled(run, "The loader"))] == ["! disturbed", ""]
    assert run.cases["loader_disturbed"].tolist() == [True, False]


def test_compilation_from_cold_and_from_warm(tmp_path: Path) -> None:
    def broken(file: dict[str, Any]) -> None:
        if file["compile"] is not None:
            file["compile"] |= {
                "graph_breaks": 3,
                "recompiles": 1,
                "breaks": [
                    {
                        "reason": "Call to print. Explanation: it prints",
                        "where": "net.py:10 in forward",
                        "count": 3,
                    },
                    {"reason": "no | place", "where": None, "count": 1},
                ],
                "recompiled": [{"reason": "x: size 0 is 8", "where": "a.py:7 in f", "count": 1}],
            }

    section = titled(two_cases(tmp_path, broken), "Compilation")
    assert rows(section) == [
        {
            "compile": "default", "cold": "7.60 s", "warm": "0.810 s",
            "first step, cold": "8.20 s", "first step, warm": "0.900 s",
            "repaid after": "3,800 steps", "graphs": "1", "breaks": "3", "recompiles": "1",
        }
    ]  # fmt: skip
    assert section.lines == (
        "- graph break, 3 times in default: Call to print. (`net.py:10 in forward`)",
        r"- graph break in default: no \| place",
        "- recompiled in default: x: size 0 is 8 (`a.py:7 in f`)",
    )


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Call to print", "Call to print"),
        ("One. Two.", "One."),
        ("One\nTwo", "One"),
        ("Call to `graph_break()` Explanation: By the user. Hint: x", "Call to `graph_break()`"),
        ("net.py is 3.5 wide", "net.py is 3.5 wide"),
        ("", ""),
    ],
)
def test_only_the_first_sentence_of_a_reason(text: str, first: str) -> None:
    assert first_sentence(text) == first


def test_work_against_the_ceilings(tmp_path: Path) -> None:
    section = titled(two_cases(tmp_path), "Work")
    # 0.12419 GFLOP in 10 ms, of 180 GFLOP/s; 31.46 MB; a ridge at 180 / 19.
    assert rows(section)[0] == {
        "compile": "off", "GFLOP a step": "0.124", "GFLOP/s": "12.4", "of the ceiling": "7 %",
        "FLOP/B": "3.9", "ridge, FLOP/B": "9.5", "operators": "84", "saved, MiB": "2.3",
    }  # fmt: skip
    assert section.lead.endswith(
        "cpu reaches at best with 2 threads: 180 GFLOP/s in matrix products of fp32, 410 GFLOP/s "
        "in matrix products of bf16, 19.0 GB/s of memory read and written, 1,450 JPEG files/s "
        "decoded by one core."
    )


def test_work_that_could_not_be_counted_says_why(tmp_path: Path) -> None:
    def uncounted(file: dict[str, Any]) -> None:
        nothing = dict.fromkeys(["flops", "bytes", "operators"])
        file["work"] = {**nothing, "reason": "no formula for *this*"}
        file["memory"]["saved_bytes"] = None

    section = titled(two_cases(tmp_path, uncounted, ceilings=None), "Work")
    assert section.grid is None
    assert section.lines == (r"- not counted in off, default: no formula for \*this\*",)
    assert section.lead.endswith("ceilings were not measured, so there is no share of them.")


def test_both_clocks_side_by_side(tmp_path: Path) -> None:
    run = on_a_device(tmp_path)
    (row,) = rows(titled(run, "Host and device"))
    figures = {"dataload": "4.000 / 1.000", "transfer": "– / 1.000", "forward": "1.000 / 3.000"}
    assert row == {"case": run.measurements[0].id, **figures, "step": "5.000 / 5.000"}
    (loader,) = rows(titled(run, "The loader"))
    assert (loader["waited a step, ms"], loader["starved a step, ms"]) == ("4.0", "1.0")
    assert "starvation" in titled(run, "What bounds").lead


def test_micro_batches_by_their_place(tmp_path: Path) -> None:
    forward, backward = rows(titled(on_a_device(tmp_path, accumulate=12), "Micro-batches"))
    assert (forward["phase"], backward["phase"]) == ("forward", "backward")
    assert [backward[str(i)] for i in range(1, 5)] == ["3.0", "1.0", "2.0", ""]
    assert [forward[str(i)] for i in (1, 8)] == ["1.0", "1.0"]
    assert forward["9 and later"] == "1"  # of eight laps, from 1 to 3 ms
    assert backward["9 and later"] == ""


@pytest.mark.parametrize("micro", [{"forward": [[0.001], [0.001, 0.002]]}, {"forward": "x"}, [1]])
def test_micro_batches_that_cannot_be_used_are_left_out(tmp_path: Path, micro: Any) -> None:
    def broken(file: dict[str, Any]) -> None:
        file["micro_laps"] = micro

    run = two_cases(tmp_path, broken)
    assert not run.problems
    assert not [section for section in sections(run) if section.title == "Micro-batches"]


def test_a_part_without_figures_is_not_there(tmp_path: Path) -> None:
    run = two_cases(tmp_path, lambda file: file.update(compile=None))
    titles = [section.title for section in sections(run)]
    assert titles == [
        "What bounds each case",
        "Every phase: quantiles in ms",
        "The loader by itself",
        "Work and the roofline",
        "What happens once: start, first step, warm-up; peak memory",
    ]


def test_a_part_says_how_much_it_leaves_out(tmp_path: Path) -> None:
    axes = {**synthetic.AXES, "batch_size": list(range(1, 101))}
    host = synthetic.laps(0, 12, dataload=1.0, forward=2.0)
    files = [synthetic.case_file(case, host) for case in synthetic.product(axes)]
    section = titled(load(synthetic.write_run(tmp_path / "run", files, axes)), "What bounds")
    assert len(section.lines) + section.left_out == 400
    assert np.sum([len(line.encode()) + 1 for line in section.lines]) <= 6000
    assert section.lines
