"""Markdown: others' words made harmless, and tables and lists that end where their room does."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LINE_CHARACTERS = 600
"""What one sentence of others' words may take: a reason, a command, a device's name."""

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#&])")


@dataclass(frozen=True)
class Grid:
    """A table, as Markdown's lines.

    Attributes:
        lines: Head, rule and as many rows as there is room for.
        left_out: How many rows there was no room for.
    """

    lines: tuple[str, ...]
    left_out: int


def escaped(text: str, characters: int = LINE_CHARACTERS) -> str:
    """Others' words for Markdown, on one line: shown as they are, and not breaking a table."""
    line = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    return line if len(line) <= characters else line[:characters].rstrip("\\") + " …"


def code(text: str) -> str:
    """Others' words as code, on one line."""
    line = " ".join(text.split())
    line = line if len(line) <= LINE_CHARACTERS else line[:LINE_CHARACTERS] + " …"
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}" if line else ""


def fenced(text: str) -> str:
    """Others' words as a block of code."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def grid(
    heads: Sequence[str], alignment: str, rows: Iterable[Sequence[str]], size_bytes: int
) -> Grid:
    """A table of as many rows as there is room for.

    Args:
        heads: The columns' heads.
        alignment: A letter for each column: `l` for text, `r` for figures, whose spaces hold.
        rows: The cells, escaped where others wrote them.
        size_bytes: What the rows may take.
    """
    rule = [":---" if side == "l" else "---:" for side in alignment]
    lines = [
        _line(
            cell if side == "l" else cell.replace(" ", "\N{NO-BREAK SPACE}")
            for cell, side in zip(row, alignment, strict=True)
        )
        for row in rows
    ]
    kept, left_out = within(size_bytes, lines)
    return Grid((_line(heads), _line(rule), *kept), left_out)


def within(size_bytes: int, lines: Sequence[str]) -> tuple[list[str], int]:
    """As many lines as a number of bytes holds, in UTF-8, and how many it does not."""
    kept: list[str] = []
    for line in lines:
        size_bytes -= len(line.encode()) + 1
        if size_bytes < 0:
            break
        kept.append(line)
    return kept, len(lines) - len(kept)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
