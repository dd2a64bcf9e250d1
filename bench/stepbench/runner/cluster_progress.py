"""The progress over all jobs of a run on a cluster, in the terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from stepbench.cluster.dispatch import Board, JobEnd
from stepbench.runner.terminal import LiveLine, format_duration
from stepbench_reports.wording.with_noun import with_noun

MAX_NODES = 3
"""The number of nodes that the line names."""


class ClusterProgress:
    """Draws how many jobs are queued, run, are done or have failed, and where they run.

    Args:
        console: The terminal.
        total: The number of jobs.
        engine: The engine's name.
    """

    def __init__(self, console: Console, total: int, engine: str) -> None:
        self._console, self._total, self._engine = console, total, engine
        self._line = LiveLine(console)
        self._ended = 0
        self._began_s = time.monotonic()
        self._waiting: str | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Prints how many jobs there are, and shows the line while the context lasts."""
        self._console.print(f"{_jobs(self._total)} submitted to {self._engine}", soft_wrap=True)
        with self._line.shown():
            yield

    def show(self, board: Board) -> None:
        """Draws the progress; prints a new reason why jobs wait."""
        if board.waiting != self._waiting:
            self._waiting = board.waiting
            if board.waiting is not None:
                note = Text(f"note: jobs wait: {board.waiting}", "yellow")
                self._console.print(note, soft_wrap=True)
        self._line.draw(Text(sentence(board)))

    def end_line(self, end: JobEnd, measured: int) -> str:
        """Prints a line for a job that has ended, and returns it.

        Args:
            end: The job's end.
            measured: The number of cases that it has measured.
        """
        self._ended += 1
        node = "" if end.node is None else f" on {end.node}"
        cases = with_noun(measured, "case")
        outcome = "done" if end.reason is None else "failed"
        elapsed = format_duration(time.monotonic() - self._began_s)
        line = (
            f"[{self._ended}/{self._total}] job {end.number}{node}: {outcome}, {cases} measured "
            f"(after {elapsed})"
        )
        style = None if end.reason is None else "red"
        self._console.print(line, style=style, soft_wrap=True, markup=False, highlight=False)
        return line


def sentence(board: Board) -> str:
    """The progress in words: `3 queued, 2 running on n1 and n2, 5 done, 1 failed`."""
    parts = []
    if board.queued:
        parts.append(f"{board.queued:,} queued")
    if board.running:
        nodes = list(dict.fromkeys(filter(None, board.running.values())))
        named = " and ".join(nodes) if len(nodes) <= MAX_NODES else f"{len(nodes):,} nodes"
        parts.append(f"{len(board.running):,} running" + (f" on {named}" if nodes else ""))
    parts.append(f"{board.done:,} done")
    if board.failed:
        parts.append(f"{board.failed:,} failed")
    return ", ".join(parts)


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"
