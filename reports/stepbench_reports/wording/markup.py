"""Markdown helpers: escape untrusted text, and limit the size of tables and lists."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stepbench_reports.schema.text import one_line, printable

LINE_CHARACTERS = 600
"""The maximum length of one untrusted text: a reason, a command, a device's name."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#&])")


@dataclass(frozen=True)
class Grid:
    """A Markdown table.

    Attributes:
        lines: The header, the delimiter row, and as many rows as fit.
        left_out: The number of rows that do not fit.
    """

    lines: tuple[str, ...]
    left_out: int


def escaped(text: str, characters: int = LINE_CHARACTERS) -> str:
    """Escapes untrusted text for Markdown, on one line, cut to a number of characters."""
    line = _SPECIAL.sub(r"\\\1", one_line(text))
    return line if len(line) <= characters else line[:characters].rstrip("\\") + " …"


def code(text: str) -> str:
    """Formats untrusted text as a Markdown code span; empty for empty text."""
    line = one_line(text)
    line = line if len(line) <= LINE_CHARACTERS else line[:LINE_CHARACTERS] + " …"
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}" if line else ""


def fenced(text: str) -> str:
    """Formats untrusted text as a fenced Markdown code block."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{printable(text)}\n{fence}"


def grid(
    heads: Sequence[str], alignment: str, rows: Iterable[Sequence[str]], size_bytes: int
) -> Grid:
    """Makes a table of as many rows as fit.

    Args:
        heads: The columns' heads.
        alignment: A letter for each column: `l` for text, `r` for figures, whose spaces are made
            non-breaking.
        rows: The cells; untrusted text must be escaped already.
        size_bytes: The maximum size of the rows, bytes in UTF-8.
    """
    delimiters = [":---" if align == "l" else "---:" for align in alignment]
    lines = [
        _row(
            cell if align == "l" else cell.replace(" ", "\N{NO-BREAK SPACE}")
            for cell, align in zip(row, alignment, strict=True)
        )
        for row in rows
    ]
    shown, left_out = within(size_bytes, lines)
    return Grid((_row(heads), _row(delimiters), *shown), left_out)


def within(size_bytes: int, lines: Sequence[str]) -> tuple[list[str], int]:
    """The first lines that fit into `size_bytes` of UTF-8, and the number of those left out."""
    shown: list[str] = []
    for line in lines:
        size_bytes -= len(line.encode()) + 1
        if size_bytes < 0:
            break
        shown.append(line)
    return shown, len(lines) - len(shown)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
