"""What the parts of the study `truth.py` have in common: how they are told."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from stepbench_reports.analysis.stats import Interval


@dataclass(frozen=True)
class Aim:
    """What was aimed at, and what came of it."""

    text: str
    found: str
    met: bool


@dataclass(frozen=True)
class Part:
    """A part of the study, ready to be written: its Markdown and its aims."""

    title: str
    text: str
    aims: tuple[Aim, ...]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all but its first column are figures."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def span(interval: Interval, form: str) -> str:
    """An interval's ends, in a format of figures."""
    return f"{interval.low:{form}} to {interval.high:{form}}"


def say(words: str) -> None:
    """Tells how far the study is."""
    print(words, file=sys.stderr, flush=True)
