import os
from pathlib import Path

import pytest

from stepbench.errors import UsageError
from stepbench.ownership import refuse_others_directory
from support import other_user
from support.other_user import needs_root

UNKNOWN_UID = 3_999_999_999
"""A number that belongs to no account."""

pytestmark = needs_root


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that the current directory does not lie in."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("SUDO_UID", raising=False)
    return tmp_path


def test_a_directory_of_root_s_own_and_a_new_one_in_tmp_are_accepted(elsewhere: Path) -> None:
    refuse_others_directory(elsewhere, "--output")
    refuse_others_directory(elsewhere / "new" / "one", "--output")
    sticky = elsewhere / "tmp"
    sticky.mkdir()
    sticky.chmod(0o1777)
    refuse_others_directory(sticky / "new", "--output")


@pytest.mark.parametrize("below", ["", "results/run"])
def test_a_directory_of_another_user_is_refused(elsewhere: Path, below: str) -> None:
    theirs = other_user.open_directory(elsewhere / "theirs")
    with pytest.raises(UsageError, match=r"--output x: .*theirs belongs to .* or give a directory"):
        refuse_others_directory(theirs / below, "--output x")


@pytest.mark.parametrize(
    ("mode", "group", "fault"),
    [(0o777, 0, "every user"), (0o1777, 0, "every user"), (0o775, 12345, "group 12345")],
)
def test_a_directory_that_others_can_write_is_refused(
    elsewhere: Path, mode: int, group: int, fault: str
) -> None:
    shared = elsewhere / "shared"
    shared.mkdir()
    os.chown(shared, 0, group)
    shared.chmod(mode)
    with pytest.raises(UsageError, match=fault):
        refuse_others_directory(shared, "--output x")


def test_the_current_directory_is_accepted_whoever_owns_it(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = other_user.open_directory(elsewhere / "theirs")
    monkeypatch.chdir(theirs)
    refuse_others_directory(theirs / "results" / "new", "--output x")


def test_a_number_without_an_account_is_accepted_as_containers_mount_such_directories(
    elsewhere: Path,
) -> None:
    mounted = elsewhere / "mounted"
    mounted.mkdir()
    os.chown(mounted, UNKNOWN_UID, UNKNOWN_UID)
    refuse_others_directory(mounted, "--output x")


def test_the_user_who_called_sudo_is_accepted(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = other_user.open_directory(elsewhere / "theirs")
    monkeypatch.setenv("SUDO_UID", str(other_user.UID))
    refuse_others_directory(theirs, "--output x")


def test_nothing_is_refused_for_other_users_than_root(elsewhere: Path) -> None:
    theirs = other_user.open_directory(elsewhere / "theirs")
    theirs.chmod(0o777)
    os.seteuid(other_user.UID)
    try:
        refuse_others_directory(theirs, "--output x")
    finally:
        os.seteuid(0)
