from pathlib import Path
from typing import Any

from support.reading import rows, titled, two_cases


def test_the_loader_alone(tmp_path: Path) -> None:
    assert rows(titled(two_cases(tmp_path), "The loader"))[0] == {
        "compile": "off", "samples/s": "7,410", "batches": "120", "start": "0.031 s",
        "restart": "0.045 s", "prefetched": "0", "wait, ms/step": "1.0",
    }  # fmt: skip


def test_interference_with_the_loader_is_marked(tmp_path: Path) -> None:
    def add_interference(file: dict[str, Any]) -> None:
        file["loader"]["interference"] = file["case"]["compile"] == "off"

    run = two_cases(tmp_path, add_interference)
    assert [row["noise"] for row in rows(titled(run, "The loader"))] == ["! interference", ""]
    assert run.cases["loader_interference"].tolist() == [True, False]
