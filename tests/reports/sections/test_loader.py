from pathlib import Path
from typing import Any

from support.reading import rows, titled, two_cases


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
