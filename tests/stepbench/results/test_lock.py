import os
from pathlib import Path

import pytest

from stepbench.errors import UsageError
from stepbench.results import claim
from stepbench.results.lock import LOCK, OWNER, lock_directory, try_lock
from support import other_user
from support.other_user import needs_root


def test_a_second_lock_is_refused_until_the_first_is_released(tmp_path: Path) -> None:
    first = try_lock(tmp_path / "lock")
    assert first is not None
    assert try_lock(tmp_path / "lock") is None
    first.close()
    with try_lock(tmp_path / "lock") or pytest.fail("is not released"):
        assert try_lock(tmp_path / "lock") is None
    again = try_lock(tmp_path / "lock")
    assert again is not None
    again.close()


def test_the_owner_of_a_directory_is_named(tmp_path: Path) -> None:
    with (
        lock_directory(tmp_path, "--output"),
        pytest.raises(UsageError, match=rf"--output {tmp_path}: in use .*process {os.getpid()}"),
    ):
        lock_directory(tmp_path, "--output")


@pytest.mark.parametrize("name", [LOCK, OWNER])
def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path, name: str) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / name).symlink_to(target)
    with pytest.raises(UsageError, match=r"is a link.*remove it"):
        lock_directory(directory, "--output")
    assert target.read_text() == "precious"


@pytest.mark.parametrize("name", ["cases", "run.log", "benchmark.json"])
def test_a_link_in_a_run_s_directory_is_refused(tmp_path: Path, name: str) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / name).symlink_to(target)
    with pytest.raises(UsageError, match=rf"{name} in it is a link"):
        claim.create(directory)
    assert list(target.iterdir()) == []


def test_a_log_is_not_written_through_a_link_that_came_later(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    directory = claim.create(tmp_path / "run")
    (directory.path / "run.log").symlink_to(target)
    with pytest.raises(Exception, match="cannot be written"):
        directory.log("line")
    assert target.read_text() == "precious"
    directory.close()


@needs_root
def test_another_user_s_links_have_nothing_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack: another user offers a directory with a link to a file of root's."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    target = tmp_path / "precious"
    target.write_text("precious")
    target.chmod(0o600)
    theirs = other_user.open_directory(tmp_path / "theirs")
    code = f"import os; [os.symlink({str(target)!r}, n) for n in ('.lock', '.owner', 'run.log')]"
    attack = other_user.run(code, theirs)
    assert attack.returncode == 0, attack.stderr
    with pytest.raises(UsageError, match=r"belongs to .*could choose which files root overwrites"):
        claim.create(theirs)
    with pytest.raises(UsageError, match="is a link"):
        lock_directory(theirs, "--output")
    assert target.read_text() == "precious"
