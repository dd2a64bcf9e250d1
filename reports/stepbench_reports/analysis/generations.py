"""Estimates from generations: each generation of players is one sample, whatever its turns are.

Laps and turns of one process depend on each other, and on what was settled when the process began.
Only what differs from generation to generation therefore says how well a figure is known.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from stepbench_reports.analysis.stats import UNKNOWN, Interval, exponential, mean_interval

Key = TypeVar("Key", bound=Hashable)
"""The name of a generation."""
MAX_DELAY, MIN_STRANGERS = 0.02, 0.05
"""A turn is left out if its threads waited for a core for a larger share of its time than
`MAX_DELAY` beyond what is usual for the player in this generation, and if others took at least
`MIN_STRANGERS` of the cores: a player's own threads and workers take cores from each other, too.
Also if a CPU quota stopped it for as much longer than is usual: a quota below what the player needs
is a property of the machine."""
USUAL_QUANTILE = 0.25
"""The quantile of the shares of waiting that is usual for a player in a generation."""
MIN_KEPT = 0.5
"""If a smaller share of a generation's turns remains, the fastest quarter of all is used."""
MAX_DEGREES = 5
"""The most degrees of freedom of an interval over generations: those of the six of the first stage.
How many more there are follows from the spread of these, and an interval with as many degrees of
freedom as all generations allow would be too narrow.

Source: Stein, A two-sample test for a linear hypothesis whose power is independent of the variance,
Annals of Mathematical Statistics 16 (1945).
"""
FASTEST = 0.25


def kept(
    delays: Sequence[float | None],
    strangers: Sequence[float | None],
    stopped: Sequence[float | None],
) -> list[bool]:
    """Tells which turns of a player in a generation count; blind to how long the turns took.

    Args:
        delays: For each turn the time in which threads had no core, as a share of the turn's time;
            `None` if unknown.
        strangers: For each turn the share of the cores' time that other processes and the
            hypervisor took; `None` if unknown.
        stopped: For each turn the time for which a CPU quota stopped the player, as a share of the
            turn's time; `None` if unknown.
    """
    return [
        not quota and (not delay or (share is not None and share < MIN_STRANGERS))
        for delay, share, quota in zip(_unusual(delays), strangers, _unusual(stopped), strict=True)
    ]


def _unusual(shares: Sequence[float | None]) -> list[bool]:
    """Tells which shares exceed what is usual by more than `MAX_DELAY`; unknown ones do not."""
    known = [share for share in shares if share is not None]
    usual = float(np.quantile(known, USUAL_QUANTILE)) if known else math.inf
    return [share is not None and share > usual + MAX_DELAY for share in shares]


@dataclass(frozen=True)
class GenerationSteps:
    """A player's mean steps in a generation.

    Attributes:
        kept_s: The mean step over the turns that count, seconds; NaN if fewer than half count.
        fastest_s: The mean step over the fastest quarter of all turns, seconds; NaN if the player
            has loader workers, whose stalls it would hide.
        all_s: The mean step over all turns, seconds.
    """

    kept_s: float
    fastest_s: float
    all_s: float


def generation_steps(
    elapsed_s: Sequence[float], steps: Sequence[int], counts: Sequence[bool], *, workers: bool
) -> GenerationSteps:
    """Sums up the turns of a player in a generation.

    Args:
        elapsed_s: The duration of each turn, seconds; at least one.
        steps: The number of steps of each turn.
        counts: Which turns count.
        workers: True if the player has loader workers.
    """
    seconds, count = np.asarray(elapsed_s, dtype=float), np.asarray(steps, dtype=float)
    keep = np.asarray(counts, dtype=bool)
    order = np.argsort(seconds / count, kind="stable")
    fastest = order[: max(1, int(len(order) * FASTEST))]
    return GenerationSteps(
        float(seconds[keep].sum() / count[keep].sum()) if keep.mean() >= MIN_KEPT else math.nan,
        math.nan if workers else float(seconds[fastest].sum() / count[fastest].sum()),
        float(seconds.sum() / count.sum()),
    )


def as_it_ran(generations: Mapping[Key, GenerationSteps]) -> dict[Key, GenerationSteps]:
    """The same generations with all turns in every figure, those that were left out, too."""
    return {
        key: GenerationSteps(steps.all_s, math.nan, steps.all_s)
        for key, steps in generations.items()
    }


def log_interval(samples: ArrayLike, confidence: float = 0.95) -> Interval:
    """The geometric mean of positive samples, one a generation, with an interval."""
    return exponential(
        mean_of_generations(np.log(np.asarray(samples, dtype=np.float64)), confidence)
    )


def mean_of_generations(samples: ArrayLike, confidence: float = 0.95) -> Interval:
    """The mean of samples, one a generation, with an interval."""
    return mean_interval(samples, confidence, MAX_DEGREES)


def mean_step(generations: Mapping[Key, GenerationSteps]) -> Interval:
    """A player's mean step, seconds: what the user gets, over all turns that were measured."""
    if not generations:
        return UNKNOWN
    return log_interval([steps.all_s for steps in generations.values()])


def log_ratios(a: Mapping[Key, GenerationSteps], b: Mapping[Key, GenerationSteps]) -> list[float]:
    """The log ratio of two players' steps, b / a, in each generation that they have in common.

    The ratio is that of the turns that count; where fewer than half of either player's count, that
    of the fastest quarters, or of all turns if one of them has loader workers.
    """
    return [_log_ratio(a[key], b[key]) for key in a if key in b]


def _log_ratio(a: GenerationSteps, b: GenerationSteps) -> float:
    for pair in ((a.kept_s, b.kept_s), (a.fastest_s, b.fastest_s)):
        if not any(math.isnan(seconds) for seconds in pair):
            return math.log(pair[1] / pair[0])
    return math.log(b.all_s / a.all_s)
