"""`report.md`, and that the terminal report agrees with it."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import stepbench_reports
from stepbench_reports.read.run import Run
from stepbench_reports.read.run_directory import load
from stepbench_reports.render.markdown import render
from support import synthetic
from support.reading import flowing, printed, table


def test_a_crashed_case_is_a_row_with_its_reason_below(believable: Run) -> None:
    text = printed(believable, 120)
    (row,) = [line for line in text.splitlines() if line.startswith("b32 w2 default")]
    assert row.split() == ["b32", "w2", "default", "crashed"]
    assert "crashed  convnet-cpu-b32-w2-default-fp32: ended by signal 11 (SIGSEGV)" in text
    report = render(believable)
    assert table(report)[-1]["samples/s"] == "crashed"
    assert "- `convnet-cpu-b32-w2-default-fp32` **crashed**: ended by signal 11" in report
    assert "```text\nFatal Python error" in report


def test_every_report_gives_the_same_figures(believable: Run) -> None:
    report = render(believable)
    rows = [first | second for first, second in zip(table(report), table(report, 1), strict=False)]
    lines = printed(believable, 120).splitlines()
    (first,) = [i for i, line in enumerate(lines) if line.startswith("case ")]
    for row, line in zip(rows[:7], lines[first + 1 :], strict=False):
        assert line.startswith(f"{row['case']} ")
        assert row["case"] == f"b{row['batch size']} w{row['workers']} {row['compile']}"
        cells = line.removeprefix(row["case"]).replace("<0.1 %", "").split()
        speedup = row["speed-up"].partition(" ")[0]
        bottleneck = row["bottleneck"].partition(" ")[0]
        phases = [row[name].partition(" ")[0] for name in believable.phase_names]
        rate, step = row["samples/s"].strip("*"), row["step"].strip("*")
        assert cells == [rate, step, speedup, bottleneck, *phases]

    stepbench_reports.write(believable)
    written = pd.read_csv(believable.path / "phases.csv", keep_default_na=True)
    steps = written[written["phase"] == "step"].set_index("case")
    shares = believable.cases.set_index("id")["bottleneck_share"]
    for measurement, row in zip(believable.measurements[:7], rows, strict=False):
        figures = steps.loc[measurement.id]
        median_ms = float(row["step"].strip("*"))
        half_width_ms = (figures["high_s"] - figures["low_s"]) / 2 * 1e3
        assert abs(median_ms - figures["median_s"] * 1e3) <= half_width_ms
        samples_per_s = float(row["samples/s"].strip("*").replace(",", ""))
        assert samples_per_s == pytest.approx(figures["samples_per_s"], rel=0.005)
        assert figures["samples_per_s_low"] <= figures["samples_per_s_high"]
        assert row["bottleneck"].endswith(f" {shares[measurement.id] * 100:.0f} %")
        share = written[(written["case"] == measurement.id) & (written["phase"] == "forward")]
        assert f"({share['share'].item() * 100:.0f} %)" in row["forward"]


def test_a_run_without_figures_has_a_report(tmp_path: Path) -> None:
    axes = {name: values[0] for name, values in synthetic.AXES.items()}
    file = synthetic.failed_file(axes, "oom", "more than the memory there is; lower --batch-size")
    run = load(synthetic.write_run(tmp_path / "run", [file]))
    assert "No case was measured." in printed(run)
    assert "out of memory  convnet-cpu-b4-w0-off-fp32: more than" in printed(run)
    assert "**No case was measured.**" in render(run)
    nothing = load(synthetic.write_run(tmp_path / "nothing", [], cases=["a-case"]))
    assert "1 of 1 case not measured" in printed(nothing)
    assert "1 of 1 case not measured" in render(nothing)


def test_switches_are_columns_of_on_and_off(tmp_path: Path) -> None:
    axes = {**synthetic.AXES, "batch_size": [4], "compile": ["off"], "num_workers": [2]}
    axes |= {"channels_last": [False, True], "prefetch_factor": [2, 4]}
    files = [
        synthetic.case_file(case, synthetic.laps(1, 50, forward=2.0))
        for case in synthetic.product(axes)
    ]
    run = load(synthetic.write_run(tmp_path / "run", files, axes))
    assert [row["channels last"] for row in table(render(run), 1)] == ["off", "on"] * 2
    labels = ["pf2 no-channels_last", "channels_last", "pf4", "pf4 channels_last"]
    lines = printed(run).splitlines()
    assert all(any(line.startswith(f"{label}  ") for line in lines) for label in labels)


def test_a_case_with_interference_is_marked_in_table_and_headline(tmp_path: Path) -> None:
    def add_interference(file: dict[str, Any]) -> None:
        if file["case"]["compile"] != "off":
            file["noise"] = synthetic.noise(file["blocks"], interference=True)

    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases(add_interference)))
    text = printed(run)
    assert "\ndefault ! " in text
    assert "\noff  " in text
    assert flowing(text).count("500") == 1  # in the table: the headline leaves the case out
    assert "400 samples/s; a step takes 10.00 ms" in flowing(text)
    assert [row["doubt"] for row in table(render(run))] == ["", "! interference"]


def test_untrusted_text_does_not_break_the_report(tmp_path: Path) -> None:
    axes = {name: values[0] for name, values in synthetic.AXES.items()}
    reason = "a|b\n| --- |\n</details> <script> *x* `y` [z](w) " + "long " * 400
    detail = "````\n</details>\n| a |"
    files = [
        *synthetic.two_cases()[1:],
        synthetic.failed_file({**axes, "compile": "off"}, "error", reason, detail=detail),
    ]
    run = load(synthetic.write_run(tmp_path / "run", files, command="x | `y`"))
    text = render(run)
    assert table(text)[1]["samples/s"] == "error"
    assert r"a\|b \| --- \| \</details\> \<script\> \*x\* \`y\` \[z\](w)" in text
    assert "`````text\n````\n</details>\n| a |\n`````" in text
    assert "- command: `` x | `y` ``" in text
    assert text.count("<details>") == text.replace("</details>\n| a |", "").count("</details>")


def test_a_report_of_a_thousand_cases_fits_a_comment(tmp_path: Path) -> None:
    axes = {**synthetic.AXES, "batch_size": list(range(1, 126)), "num_workers": [0, 1, 2, 4]}
    host = synthetic.laps(0, 12, dataload=1.0, forward=2.0, backward=3.0, optimizer=0.3)
    files = [
        synthetic.case_file(case, host)
        if case["batch_size"] % 9
        else synthetic.failed_file(case, "oom", "no memory; " + "x" * 3000, detail="|`" * 9000)
        for case in synthetic.product(axes)
    ]
    run = load(synthetic.write_run(tmp_path / "run", files, axes))
    text = render(run)
    assert len(text) < 65_000
    assert len(text.encode()) < 65_536
    shown = len(table(text))
    assert shown > 100
    assert f"_{1000 - shown} more rows do not fit here: see `phases.csv`._" in text
    assert len(run.phases) == 5 * sum(f["status"] == "ok" for f in files)
    assert text.count("<details>") == text.count("</details>")


def test_a_report_with_every_section_fits_a_comment(tmp_path: Path) -> None:
    axes = {
        **synthetic.AXES, "workload": ["convnet", "resnet18"], "loop": ["train", "eval"],
        "device": ["cuda"], "batch_size": list(range(1, 9)), "accumulate": [1, 16],
        "num_workers": [1, 2], "pin_memory": [False, True], "precision": ["fp32", "bf16"],
    }  # fmt: skip
    host = synthetic.laps(0, 12, dataload=1.0, forward=2.0, backward=2.0, optimizer=0.3)
    device = synthetic.laps(1, 12, transfer=0.9, dataload=0.1, forward=2.0, backward=2.0)
    times = iter(range(10_000))
    files = []
    for case in synthetic.product(axes):
        if next(times) % 9 == 0:
            reason = "no memory; " + "ж" * 3000
            files.append(synthetic.failed_file(case, "oom", reason, detail="|`" * 9000))
            continue
        file = synthetic.case_file(case, host, device)
        file["noise"] = synthetic.noise(file["blocks"], 3, interference=True)
        file["noise"]["blocks"][0]["throttled"] = "heat" * 500
        file["micro_laps"] = {"backward": [[0.001] * 16] * 12}
        file["work"]["reason"] = f"reason {next(times)} " + "ж" * 2000
        if file["compile"] is not None:
            word = f"{'ж' * 900}{next(times)}"
            file["compile"]["breaks"] = [{"reason": word, "where": word, "count": 2}]
        file["sampling"]["stopped"] = "time"
        file["warmup"]["steady"] = False
        file.update(synthetic.sampled(synthetic.blocks(12, 0.006, 0.004)))
        files.append(file)
    text = render(load(synthetic.write_run(tmp_path / "run", files, axes, command="c " * 2000)))
    assert len(text) < 65_000
    assert len(text.encode()) < 65_536
    assert len(table(text)) > 60
    for title in (
        "Bottlenecks",
        "The loader",
        "Compilation",
        "Operations",
        "Host and",
        "Micro-batches",
    ):
        assert text.count(f"<summary>{title}") == 1
    assert text.count("<details>") == text.count("</details>")
