"""A line that is redrawn in a terminal, and the notation of durations and paths there."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text


class LiveLine:
    """A line that is redrawn in place, if the console is a terminal that can do so.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    @property
    def visible(self) -> bool:
        """True while the line is visible."""
        return self._live is not None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Shows the line while the context lasts."""
        if not self._console.is_interactive:
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def draw(self, text: Text) -> None:
        """Redraws the line; does nothing while the line is not shown."""
        if self._live is not None:
            self._live.update(text, refresh=True)


def format_duration(seconds: float) -> str:
    """Rounds a duration and writes it out, such as `about 5 min`."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min"
