"""Foreign text made harmless where it is written: to a terminal, a log, Markdown or CSV.

Reasons, commands, names and values come from models, libraries, files and other machines. They may
hold sequences that a terminal obeys, lines that GitHub obeys, and cells that a spreadsheet runs.
"""

import re
import unicodedata
from typing import Any

_OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of characters that are not shown but act: controls, directions, surrogates,
line separators."""
_SHOWN = {"\n", "\t"}
_WORKFLOW_COMMAND = re.compile(r"^([^\S\n]*)(?=::)|(?<=##)(?=\[)", re.MULTILINE)
"""The places before `::error::` at the start of a line, and within `##[error]` anywhere."""
_FORMULA = re.compile(r"\A\s*[=+\-@]")


def printable(text: str) -> str:
    r"""Escapes what a terminal or GitHub would obey.

    Characters that act instead of being shown become `\x1b` and the like, except line ends and
    tabs. A backslash separates the characters of a workflow command of GitHub. Printing twice
    changes nothing.
    """
    if not text.isprintable():
        text = "".join(map(_visible, text))
    return _WORKFLOW_COMMAND.sub(r"\1\\", text)


def one_line(text: str) -> str:
    """Escapes what a terminal or GitHub would obey, and joins lines by spaces."""
    return printable(" ".join(text.split()))


def spreadsheet_cell(value: object) -> object:
    """Escapes a text that a spreadsheet would take for a formula; other values are unchanged."""
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if _FORMULA.match(text) else text


def encodable(text: str) -> str:
    r"""Escapes the characters that UTF-8 cannot encode, as `\udcff`.

    They stand for the bytes of a file name, or of an argument, that is not UTF-8.
    """
    return text.encode("utf-8", "backslashreplace").decode()


def encodable_texts(content: Any) -> Any:  # noqa: ANN401  # what JSON holds
    """Escapes, as `encodable` does, all texts in lists and mappings, keys included."""
    if isinstance(content, str):
        return encodable(content)
    if isinstance(content, dict):
        return {encodable(str(key)): encodable_texts(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [encodable_texts(value) for value in content]
    return content


def _visible(character: str) -> str:
    if character in _SHOWN or unicodedata.category(character) not in _OBEYED:
        return character
    return character.encode("unicode_escape").decode()
