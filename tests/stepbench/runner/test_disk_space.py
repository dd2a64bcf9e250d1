from pathlib import Path
from typing import Any

import pytest

from stepbench.config import options
from stepbench.errors import UsageError
from stepbench.runner import disk_space
from support.small_disk import mounted


def needed(tmp_path: Path, **given: Any) -> int:
    read = options.read({f"stepbench_{word}": value for word, value in given.items()}, tmp_path)
    return disk_space.needed_bytes(read, read.matrix.on(["cpu"]).cases)


def test_more_cases_steps_compilations_and_profiles_need_more(tmp_path: Path) -> None:
    one: dict[str, Any] = {"batch_size": ["4"], "num_workers": ["0"], "compile": ["off"]}
    least = needed(tmp_path, **one, steps="10")
    assert least < needed(tmp_path, **one)
    assert needed(tmp_path, **one) < needed(tmp_path, **{**one, "num_workers": ["0", "2"]})
    compiled = {**one, "compile": ["default"], "num_workers": ["0", "2"]}
    assert needed(tmp_path, **compiled) < needed(tmp_path, **compiled, cold=True)
    assert needed(tmp_path, **one) < needed(tmp_path, **one, profile=True)


def test_a_full_disk_is_refused_with_what_is_free_and_what_is_needed(tmp_path: Path) -> None:
    read = options.read({}, tmp_path)
    cases = read.matrix.on(["cpu"]).cases
    disk_space.refuse_full_disk(read, cases, tmp_path, "--output")
    with (
        mounted(tmp_path / "disk", 3) as disk,
        pytest.raises(UsageError, match=r"--resume .*: 3 MiB are free there, .* needs about \d+"),
    ):
        disk_space.refuse_full_disk(read, cases, disk, "--resume")
