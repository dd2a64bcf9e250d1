import os
from pathlib import Path

import pytest

from stepbench.errors import UsageError
from stepbench.results.lock import lock_directory, try_lock


def test_a_second_lock_is_refused_until_the_first_is_released(tmp_path: Path) -> None:
    first = try_lock(tmp_path / "lock", "first")
    assert first is not None
    assert try_lock(tmp_path / "lock", "second") is None
    assert (tmp_path / "lock").read_text() == "first"
    first.close()
    second = try_lock(tmp_path / "lock", "second")
    assert second is not None
    second.close()


def test_the_owner_of_a_directory_is_named(tmp_path: Path) -> None:
    with (
        lock_directory(tmp_path, "--output"),
        pytest.raises(UsageError, match=rf"--output {tmp_path}: in use .*process {os.getpid()}"),
    ):
        lock_directory(tmp_path, "--output")
