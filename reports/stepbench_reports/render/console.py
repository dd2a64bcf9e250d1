"""The terminal, to which foreign text is written in a harmless form."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from stepbench_reports.schema.text import printable


class SafeConsole(Console):
    """A console that escapes, in all that is printed, what a terminal or GitHub would obey.

    Styles and the movements of a live line are the console's own, and are left as they are.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Renders anything that can be printed, and escapes its text."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


def make_console(**arguments: Any) -> Console:  # noqa: ANN401  # those of rich's Console
    """Makes the console of a command, without highlighting.

    Nothing is redrawn in a file or a pipe, even where FORCE_COLOR asks for colours, as in some CI.
    """
    console = SafeConsole(highlight=False, **arguments)
    if not console.file.isatty():
        console.is_interactive = False
    return console
