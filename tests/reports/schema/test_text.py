import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbench_reports.schema.axes import Axes
from stepbench_reports.schema.files import read_record, write_record
from stepbench_reports.schema.parity import SCHEMA
from stepbench_reports.schema.results import ParityRecord
from stepbench_reports.schema.status import Status
from stepbench_reports.schema.text import encodable, one_line, printable, spreadsheet_cell
from stepbench_reports.wording import markup

HARMFUL = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x07\r\n\t\x9b\u202e\u2028:#[=+-@"),
    ),
    max_size=60,
)
COMMAND = re.compile(r"^\s*::|##\[", re.MULTILINE)


@given(text=HARMFUL)
def test_nothing_is_left_that_a_terminal_or_github_obeys(text: str) -> None:
    shown = printable(text)
    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Cf"} and c not in "\n\t"]
    assert not COMMAND.search(shown)
    shown.encode()
    assert printable(shown) == shown
    assert "\n" not in one_line(text)


@given(text=HARMFUL)
def test_no_cell_is_a_formula(text: str) -> None:
    cell = spreadsheet_cell(text)
    assert isinstance(cell, str)
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with \u00b1 and \u00a0", "plain, with \u00b1 and \u00a0"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("file\n::error::x", "file\n\\::error::x"),
        ("a ##[error]x", "a ##\\[error]x"),
        ("aten::mm", "aten::mm"),
        ("\udc80", "\\udc80"),
    ],
)
def test_the_rest_is_left_as_it_is(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("value", [1.5, None, True, -3])
def test_other_values_of_cells_are_left_as_they_are(value: object) -> None:
    assert spreadsheet_cell(value) is value


@pytest.mark.parametrize("write", [markup.escaped, markup.code, markup.fenced])
def test_markdown_has_no_control_characters(write: object) -> None:
    assert callable(write)
    text = write("\x1b]0;title\x07\n::error::x")
    assert "\x1b" not in text
    assert not COMMAND.search(text)


TEXTS = st.text(st.characters(codec=None))
"""Texts with any character, also with those that stand for bytes which are not UTF-8."""


@given(TEXTS)
def test_any_text_can_be_encoded_and_only_surrogates_change(text: str) -> None:
    written = encodable(text).encode()
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert written.decode() == text


def test_a_record_with_a_name_that_is_not_utf_8_is_written_escaped(tmp_path: Path) -> None:
    reason = "no file caf\udce9"
    record = ParityRecord(
        id="a", case=Axes(workload="mlp"), judged_case="a", status=Status.ERROR, reason=reason
    )
    write_record(tmp_path / "a.json", record)
    assert read_record(tmp_path / "a.json", ParityRecord, SCHEMA).reason == "no file caf\\udce9"
