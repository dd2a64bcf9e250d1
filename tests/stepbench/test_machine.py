from importlib import metadata

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
