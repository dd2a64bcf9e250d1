"""The house's rules of language, as far as a script can hold them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SHIPPED = sorted(
    file for top in ("bench", "models", "reports") for file in (ROOT / top).rglob("*.py")
)
UNPLAIN = re.compile(r"(What|How|Whether|It|They|This|That|These|Those|He|She|We|You|Likewise)\b")
"""Beginnings that say neither what a thing is nor what it does."""


def docstrings(text: str) -> Iterator[tuple[int, str]]:
    """The line and the text of each string that stands by itself, attributes' included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            content = node.value.value
            if isinstance(content, str):
                yield node.lineno, content.strip()


def unplain(text: str) -> list[int]:
    """The lines of the docstrings that begin with a question word or a pronoun."""
    return [line for line, content in docstrings(text) if UNPLAIN.match(content)]


def test_a_docstring_begins_with_what_a_thing_is_or_does() -> None:
    found = {str(file.relative_to(ROOT)): unplain(file.read_text()) for file in SHIPPED}
    assert {file: lines for file, lines in found.items() if lines} == {}


def test_the_rule_finds_what_it_forbids() -> None:
    module = '"""Timers."""\nA = 1\n"""How often."""\ndef f():\n    """It waits."""\n'
    assert unplain(module) == [3, 5]
    assert unplain('"""Howitzers, and whatever is thrown."""\n') == []
