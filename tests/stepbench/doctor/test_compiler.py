import shutil
from pathlib import Path

import pytest

from stepbench.doctor.compiler import check_compiler
from stepbench.doctor.diagnosis import Ability


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
def test_a_compiler_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++")
    assert check_compiler().ability is Ability.OK


def test_no_compiler_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    diagnosis = check_compiler()
    assert diagnosis.ability is Ability.MISSING
    assert diagnosis.finding.startswith("There is no no-such-compiler: torch.compile cannot")
    assert diagnosis.remedy == "Install g++ (Debian: apt-get install g++), or set CXX."
    assert not diagnosis.prevents_measuring


@pytest.mark.parametrize(
    ("complaint", "remedy"),
    [
        ("fatal error: Python.h: No such file or directory", "apt-get install python3-dev"),
        ("cannot execute cc1plus", "Set CXX to a C++ compiler that works."),
        ("", "Set CXX to a C++ compiler that works."),
    ],
)
def test_what_a_compiler_complains_about_decides_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: str, remedy: str
) -> None:
    compiler = tmp_path / "c++"
    compiler.write_text(f"#!/bin/sh\necho '{complaint}' >&2\nexit 3\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    diagnosis = check_compiler()
    assert diagnosis.ability is Ability.MISSING
    assert remedy in (diagnosis.remedy or "")
    assert (complaint or "exit code 3") in diagnosis.finding
