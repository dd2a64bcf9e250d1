import io

import pytest
from rich.console import Console

from stepbench.doctor import command
from stepbench.doctor.diagnosis import Ability, Diagnosis

DIAGNOSES = (
    Diagnosis("torch", Ability.OK, "torch 2.9.0 with Python 3.11.7.", essential=True),
    Diagnosis("C++ compiler", Ability.MISSING, "There is no g++. " * 8, "Install g++."),
    Diagnosis("noise", Ability.LIMITED, "a" * 200, "Stop other work."),
)


def printed(*, terminal: bool) -> str:
    file = io.StringIO()
    Console(file=file, width=80, force_terminal=terminal, highlight=False).print(
        command.table(DIAGNOSES)
    )
    return file.getvalue()


def test_the_table_fits_80_columns_and_has_no_control_characters_in_a_file() -> None:
    lines = printed(terminal=False).splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in "".join(lines)
    assert lines[0].split()[:2] == ["torch", "ok"]
    assert any(line.strip() == "To do: Install g++." for line in lines)


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    green = "\x1b[32m"
    assert green in printed(terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert green not in printed(terminal=True)


@pytest.mark.parametrize("torch", [Ability.OK, Ability.MISSING])
def test_the_exit_code_says_if_anything_can_be_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], torch: Ability
) -> None:
    found = (Diagnosis("torch", torch, "It is so.", essential=True), *DIAGNOSES[1:])
    monkeypatch.setattr(command, "check_machine", lambda *_, **__: found)
    assert command.main([]) == (0 if torch is Ability.OK else 1)
    out = capsys.readouterr().out
    assert "There is no g++." in out
    assert ("cannot measure anything" in out) == (torch is Ability.MISSING)
