import io

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stepbench_reports.render.console import make_console

ATTACK = "\x1b]0;title\x07\n::error::x"


def printed(renderable: object, *, terminal: bool = False) -> str:
    file = io.StringIO()
    make_console(file=file, width=40, force_terminal=terminal).print(renderable)
    return file.getvalue()


def table(text: str) -> Table:
    made = Table(box=None, padding=0, show_header=False)
    made.add_row(Text(text))
    return made


@pytest.mark.parametrize(
    "renderable", [Text(ATTACK), table(ATTACK), table("word " * 7 + "::error::")]
)
def test_foreign_text_is_shown_and_not_obeyed(renderable: object) -> None:
    lines = printed(renderable).splitlines()
    assert not [line for line in lines if "\x1b" in line or line.strip().startswith("::")]
    assert any("::error::" in line for line in lines)


def test_styles_reach_a_terminal() -> None:
    text = Text("red", style="red")
    plain = io.StringIO()
    Console(file=plain, width=40, force_terminal=True, highlight=False).print(text)
    assert printed(text, terminal=True) == plain.getvalue()
