from pathlib import Path
from typing import Any

import pytest

from stepbench_reports.sections.compilation import first_sentence
from support.reading import rows, titled, two_cases


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
            "pays after": "3,800 steps", "graphs": "1", "breaks": "3", "recompiles": "1",
        }
    ]  # fmt: skip
    assert section.lines == (
        "- graph break, 3 times in default: Call to print. (`net.py:10 in forward`)",
        r"- graph break in default: no \| place",
        "- recompiled in default: x: size 0 is 8 (`a.py:7 in f`)",
    )


@pytest.mark.parametrize("skips", [0, 2])
def test_skipped_cuda_graphs_have_a_column_where_there_are_cuda_graphs(
    tmp_path: Path, skips: int
) -> None:
    def graphs(file: dict[str, Any]) -> None:
        if file["compile"] is not None:
            file["compile"]["cuda_graph_skips"] = skips

    (row,) = rows(titled(two_cases(tmp_path, graphs), "Compilation"))
    assert row["CUDA graph skips"] == str(skips)


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
