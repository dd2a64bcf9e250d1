import os
from importlib import metadata
from pathlib import Path

import pytest

from stepbench import machine


def test_the_version_is_that_of_the_installed_package() -> None:
    assert machine.own_version() == metadata.version("stepbench")


def test_stepbench_runs_from_source_without_being_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert machine.own_version() == "from source"


def describe(cores: Path, core: int, caches: dict[str, tuple[int, str, str]]) -> None:
    for index, (level, shared, size) in caches.items():
        directory = cores / f"cpu{core}" / "cache" / index
        directory.mkdir(parents=True)
        (directory / "level").write_text(f"{level}\n")
        (directory / "shared_cpu_list").write_text(f"{shared}\n")
        (directory / "size").write_text(f"{size}\n")


def test_the_last_level_s_caches_count_once_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    for core, shared in enumerate(("0-1", "0-1", "2-3", "2-3")):
        describe(tmp_path, core, {"index0": (1, str(core), "32K"), "index3": (3, shared, "32768K")})
    assert machine.cache_bytes(tmp_path) == 2 * 32 * 2**20


def test_caches_that_the_system_does_not_tell_are_unknown(tmp_path: Path) -> None:
    assert machine.cache_bytes(tmp_path) is None
