import os
import threading
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

from stepbench.data import cache
from stepbench.errors import UsageError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "drawn-v1"


def writes(content: str) -> Callable[[Path], None]:
    def make(directory: Path) -> None:
        (directory / "inner").mkdir()
        (directory / "inner" / "file").write_text(content)

    return make


def never(directory: Path) -> None:
    raise AssertionError(f"{directory} was made again")


def content(place: Path) -> str:
    return (place / "inner" / "file").read_text()


def test_what_is_kept_is_made_once(place: Path) -> None:
    assert not cache.intact(place)
    cache.keep(place, writes("first"))
    cache.keep(place, never)
    assert content(place) == "first"
    assert list(cache.digests(place)) == ["inner/file"]


def truncate(place: Path) -> None:
    os.truncate(place / "inner" / "file", 2)


def remove(place: Path) -> None:
    (place / "inner" / "file").unlink()


def truncate_manifest(place: Path) -> None:
    os.truncate(place / cache.MANIFEST, 10)


@pytest.mark.parametrize("damage", [truncate, remove, truncate_manifest])
def test_what_is_damaged_is_made_anew(place: Path, damage: Callable[[Path], None]) -> None:
    cache.keep(place, writes("first"))
    damage(place)
    assert not cache.intact(place)
    cache.keep(place, writes("second"))
    assert cache.intact(place)
    assert content(place) == "second"
    assert list(place.parent.iterdir()) == [place]


def test_what_fails_half_way_leaves_nothing(place: Path) -> None:
    def fails(directory: Path) -> None:
        writes("half")(directory)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.keep(place, fails)
    assert list(place.parent.iterdir()) == []


def test_the_quicker_of_two_is_kept(place: Path) -> None:
    def slower(directory: Path) -> None:
        writes("slower")(directory)
        cache.keep(place, writes("quicker"))

    cache.keep(place, slower)
    assert content(place) == "quicker"
    assert list(place.parent.iterdir()) == [place]


def test_many_repair_the_same_damage_at_once(place: Path) -> None:
    cache.keep(place, writes("first"))
    truncate(place)
    together = threading.Barrier(4)

    def repair(directory: Path) -> None:
        writes("repaired")(directory)
        together.wait()

    threads = [threading.Thread(target=cache.keep, args=(place, repair)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.intact(place)
    assert content(place) == "repaired"
    assert list(place.parent.iterdir()) == [place]


def test_what_a_killed_process_left_is_swept_after_an_hour(place: Path) -> None:
    abandoned, at_work = (place.parent / f".unfinished-{name}" for name in ("old", "new"))
    for scratch in (abandoned, at_work):
        (scratch / place.name).mkdir(parents=True)
    os.utime(abandoned, (0, 0))
    cache.keep(place, writes("first"))
    assert sorted(place.parent.iterdir()) == [at_work, place]


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "drawn-v1"
    with pytest.raises(UsageError, match=r"STEPBENCH_CACHE_DIR=.*file: .*set STEPBENCH_CACHE_DIR"):
        cache.keep(place, writes("first"))


def test_the_cache_is_the_users_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STEPBENCH_CACHE_DIR", str(tmp_path))
    assert cache.location() == tmp_path
    monkeypatch.delenv("STEPBENCH_CACHE_DIR")
    users = platformdirs.user_cache_path("stepbench", appauthor=False)
    assert cache.location() == users
