import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

from stepbench.data import cache
from stepbench.errors import UsageError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "generated-v1"


def writes(content: str) -> Callable[[Path], None]:
    def make(unfinished: Path) -> None:
        (unfinished / "inner").mkdir()
        (unfinished / "inner" / "file").write_text(content)

    return make


def never(directory: Path) -> None:
    raise AssertionError(f"{directory} was made again")


def content(directory: Path) -> str:
    return (directory / "inner" / "file").read_text()


def test_an_intact_directory_is_made_once(directory: Path) -> None:
    assert not cache.intact(directory)
    cache.ensure(directory, writes("first"))
    cache.ensure(directory, never)
    assert content(directory) == "first"
    assert list(json.loads((directory / cache.MANIFEST).read_text())) == ["inner/file"]


def truncate(directory: Path) -> None:
    os.truncate(directory / "inner" / "file", 2)


def remove(directory: Path) -> None:
    (directory / "inner" / "file").unlink()


def add(directory: Path) -> None:
    (directory / "inner" / "another").touch()


def truncate_manifest(directory: Path) -> None:
    os.truncate(directory / cache.MANIFEST, 10)


@pytest.mark.parametrize("damage", [truncate, remove, add, truncate_manifest])
def test_a_damaged_directory_is_made_again(directory: Path, damage: Callable[[Path], None]) -> None:
    cache.ensure(directory, writes("first"))
    damage(directory)
    assert not cache.intact(directory)
    cache.ensure(directory, writes("second"))
    assert cache.intact(directory)
    assert content(directory) == "second"
    assert list(directory.parent.iterdir()) == [directory]


def test_a_failure_leaves_no_files(directory: Path) -> None:
    def fails(unfinished: Path) -> None:
        writes("half")(unfinished)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.ensure(directory, fails)
    assert list(directory.parent.iterdir()) == []


def test_of_two_concurrent_makers_the_first_wins(directory: Path) -> None:
    def slower(unfinished: Path) -> None:
        writes("slower")(unfinished)
        cache.ensure(directory, writes("faster"))

    cache.ensure(directory, slower)
    assert content(directory) == "faster"
    assert list(directory.parent.iterdir()) == [directory]


def test_concurrent_repairs_leave_one_directory(directory: Path) -> None:
    cache.ensure(directory, writes("first"))
    truncate(directory)
    barrier = threading.Barrier(4)

    def repair(unfinished: Path) -> None:
        writes("repaired")(unfinished)
        barrier.wait()

    threads = [threading.Thread(target=cache.ensure, args=(directory, repair)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.intact(directory)
    assert content(directory) == "repaired"
    assert list(directory.parent.iterdir()) == [directory]


def test_unfinished_directories_are_removed_after_an_hour(directory: Path) -> None:
    abandoned, active = (directory.parent / f".unfinished-{name}" for name in ("old", "new"))
    for scratch in (abandoned, active):
        (scratch / directory.name).mkdir(parents=True)
    os.utime(abandoned, (0, 0))
    cache.ensure(directory, writes("first"))
    assert sorted(directory.parent.iterdir()) == [active, directory]


def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    directory = tmp_path / "file" / "generated-v1"
    with pytest.raises(UsageError, match=r"STEPBENCH_CACHE_DIR=.*file: .*set STEPBENCH_CACHE_DIR"):
        cache.ensure(directory, writes("first"))


def test_the_environment_variable_sets_the_cache_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STEPBENCH_CACHE_DIR", str(tmp_path))
    assert cache.location() == tmp_path
    monkeypatch.delenv("STEPBENCH_CACHE_DIR")
    user_cache = platformdirs.user_cache_path("stepbench", appauthor=False)
    assert cache.location() == user_cache
