from pathlib import Path
from typing import Any

import pytest

from stepbench_reports import sections
from support.reading import on_a_device, rows, titled, two_cases


def test_micro_batches_by_position(tmp_path: Path) -> None:
    forward, backward = rows(titled(on_a_device(tmp_path, accumulate=12), "Micro-batches"))
    assert (forward["phase"], backward["phase"]) == ("forward", "backward")
    assert [backward[str(i)] for i in range(1, 5)] == ["3.0", "1.0", "2.0", ""]
    assert [forward[str(i)] for i in (1, 8)] == ["1.0", "1.0"]
    assert forward["9 and later"] == "1.0"
    assert backward["9 and later"] == ""


@pytest.mark.parametrize("micro", [{"forward": [[0.001], [0.001, 0.002]]}, {"forward": []}, {}])
def test_micro_batches_that_cannot_be_used_are_left_out(tmp_path: Path, micro: Any) -> None:
    def broken(file: dict[str, Any]) -> None:
        file["micro_laps"] = micro

    run = two_cases(tmp_path, broken)
    assert not run.problems
    assert not [section for section in sections.collect(run) if section.title == "Micro-batches"]
