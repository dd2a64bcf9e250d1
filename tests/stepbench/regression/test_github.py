from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbench.regression import github


@given(st.text())
def test_a_message_stays_on_one_line_and_can_be_read_back(message: str) -> None:
    escaped = github.escaped(message)
    assert not {"\r", "\n"} & set(escaped)
    back = escaped.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")
    assert back == message


def test_text_of_others_begins_no_command() -> None:
    line = github.annotation("error", "100 % lost\r\n::set-output name=x::y")
    assert line == ("::error title=stepbench regression::100 %25 lost%0D%0A::set-output name=x::y")


def test_annotations_are_for_github_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(github.ACTIONS, raising=False)
    github.annotate("warning", "x")
    assert capsys.readouterr().out == ""
    monkeypatch.setenv(github.ACTIONS, "true")
    github.annotate("warning", "x")
    assert capsys.readouterr().out == "::warning title=stepbench regression::x\n"


def test_the_summary_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(github.SUMMARY, raising=False)
    github.append_to_summary("nowhere")
    summary = tmp_path / "summary.md"
    monkeypatch.setenv(github.SUMMARY, str(summary))
    github.append_to_summary("### one\n")
    github.append_to_summary("### two")
    assert summary.read_text() == "### one\n\n### two\n\n"
