"""Medians, Markdown, aims and progress messages for the studies."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import quantile_test

from stepbench_reports.analysis.stats import Interval


@dataclass(frozen=True)
class Aim:
    """An aim of the study, with its result."""

    text: str
    result: str
    met: bool


@dataclass(frozen=True)
class Part:
    """A part of the study: its Markdown and its aims."""

    title: str
    text: str
    aims: tuple[Aim, ...]


def median_interval(samples: NDArray[np.float64]) -> Interval:
    """The median of independent samples, with the exact 95 % interval; NaN ends below 6 samples."""
    ends: Any = quantile_test(samples, p=0.5).confidence_interval(0.95)  # a float to the stubs
    return Interval(float(np.median(samples)), float(ends.low), float(ends.high))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns except the first are aligned right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def span(interval: Interval, form: str) -> str:
    """Formats an interval's ends."""
    return f"{interval.low:{form}} to {interval.high:{form}}"


def print_progress(message: str) -> None:
    """Prints a progress message to stderr."""
    print(message, file=sys.stderr, flush=True)
