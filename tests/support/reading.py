"""Reads reports as people do: terminal output, Markdown tables, sections."""

import io
import re
from pathlib import Path
from typing import Any

from rich.console import Console

import stepbench_reports
from stepbench_reports import sections
from stepbench_reports.read.run import Run
from stepbench_reports.read.run_directory import load
from stepbench_reports.sections.section import Section
from support import synthetic

NARROW = 80
"""The columns of a narrow terminal."""


def printed(run: Run, width: int = NARROW, **options: Any) -> str:
    """A run's report as a terminal shows it."""
    stream = io.StringIO()
    stepbench_reports.show(run, Console(file=stream, width=width, **options))
    return stream.getvalue()


def flowing(text: str) -> str:
    """A text on one line."""
    return " ".join(text.split())


def table(text: str, number: int = 0) -> list[dict[str, str]]:
    """A table of a Markdown text, by default the first one."""
    tables = [part for part in text.split("\n\n") if part.startswith("|")]
    lines = tables[number].strip().split("\n")
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert len({len(row) for row in rows}) == 1
    plain = [[cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row] for row in rows]
    return [dict(zip(plain[0], row, strict=True)) for row in plain[2:]]


def titled(run: Run, title: str) -> Section:
    """The section of a run whose title begins with `title`."""
    (match,) = [section for section in sections.collect(run) if section.title.startswith(title)]
    return match


def rows(section: Section) -> list[dict[str, str]]:
    """The rows of a section's table, by the heads of its columns."""
    assert section.grid is not None
    lines = [
        [cell.strip().replace("\N{NO-BREAK SPACE}", " ") for cell in line.split("|")[1:-1]]
        for line in section.grid.lines
    ]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def two_cases(tmp_path: Path, change: Any = None, **facts: Any) -> Run:
    """The run of `synthetic.two_cases`, read."""
    return load(synthetic.write_run(tmp_path / "run", synthetic.two_cases(change), **facts))


def on_a_device(tmp_path: Path, **axes: Any) -> Run:
    """A run of one case with laps by host and device, and of micro-batches, read."""
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
        "backward": [[0.003, 0.001, 0.002], [0.003, 0.001, 0.002]],
        "forward": [[0.001] * 12, [0.001] * 10 + [0.003] * 2],
    }
    return load(synthetic.write_run(tmp_path / "run", [file]))
