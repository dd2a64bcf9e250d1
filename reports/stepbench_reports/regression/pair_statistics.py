"""The statistics of the regression check: pure functions of arrays.

A *change* is one pair's difference, head less base, in a row, as a share of the step; above 0 if
head is slower. Swapping the sides only flips a change's sign. If the sides are equally fast,
changes are therefore symmetric about 0, which is all that the exact tests here assume.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from stepbench_reports.analysis.stats import UNKNOWN, Interval

Key = TypeVar("Key")
ERROR = 0.01
"""The approximate error rate of the screen, in each direction."""
MIN_PAIRS = 6
"""The fewest pairs that a row is screened by: as many as a 95 % interval needs."""
MAX_PAIRS = 24
"""The most pairs that a row is screened by."""
MIN_PAIRS_OF_SPREAD = 8
"""The fewest pairs whose spread tells that a row cannot be decided, since bursts of work pass."""
USUAL_SPREAD, USUAL_PAIRS = 0.015, 4
"""The usual spread of changes on a shared machine, and its weight as a number of pairs. Without
this prior, a few pairs that agree by chance would pass for precision."""
POWER = 0.98
"""The probability that the confirmation should detect a slowdown of the smallest effect."""
ALPHA = 0.01
"""The highest probability of a false alarm in a whole check."""
MARGIN = 0.005
"""A slowdown of at most this share of the step counts as none."""
MAX_CORRELATION, CORRELATION_LEVEL = 0.1, 0.05
"""The largest intraclass correlation of pairs by server with which each pair counts by itself, and
the p-value at which a larger one is believed."""


class Screened(StrEnum):
    """The screen's result for a row."""

    CLEAR = "clear"
    SLOWER = "slower"
    FASTER = "faster"
    UNDECIDED = "undecided"
    """More pairs may decide the row."""
    TOO_NOISY = "too noisy"
    """The most pairs that the row may have do not decide it, unless later pairs spread less."""


def spread(changes: ArrayLike) -> float:
    """The standard deviation of changes, shrunk towards `USUAL_SPREAD` if changes are few."""
    values = np.asarray(changes, dtype=np.float64)
    deviations = float(((values - values.mean()) ** 2).sum()) if values.size else 0.0
    total = USUAL_PAIRS * USUAL_SPREAD**2 + deviations
    return math.sqrt(total / (USUAL_PAIRS + max(0, values.size - 1)))


def screen(changes: ArrayLike, min_effect: float, max_pairs: int = MAX_PAIRS) -> Screened:
    """Screens a row: the first decision that is reached as pairs are added in order.

    That a row is too noisy is no decision: further pairs, which other rows need, may decide it.

    Args:
        changes: The row's changes, in the order in which the pairs were taken.
        min_effect: The smallest effect that the check looks for, a share of the step.
        max_pairs: The most pairs that the row is given.
    """
    values = np.asarray(changes, dtype=np.float64)
    result = Screened.UNDECIDED
    for count in range(MIN_PAIRS, min(values.size, max_pairs) + 1):
        result = _screen_all(values[:count], min_effect, max_pairs)
        if result not in {Screened.UNDECIDED, Screened.TOO_NOISY}:
            break
    return result


def _screen_all(values: NDArray[np.float64], min_effect: float, max_pairs: int) -> Screened:
    """Screens a row by exactly these pairs.

    Runs two of Wald's sequential probability ratio tests (Wald, Sequential Analysis, 1947, chapter
    3): no change against a change of the smallest effect, in either direction, with the spread
    estimated so far. Flagged rows are measured again, so errors cost time or power and never cause
    a false alarm. After the last pair, a direction that is likelier than no change is flagged. A
    row whose spread, without its most extreme pair, would need more than `max_pairs` pairs is not
    given more.
    """
    count = values.size
    variance = spread(values) ** 2
    threshold = math.log((1 - ERROR) / ERROR)
    last = count >= max_pairs
    most_variance = max_pairs * min_effect**2 / (2 * threshold)
    ratios = {
        result: min_effect / variance * (direction * float(values.sum()) - count * min_effect / 2)
        for result, direction in ((Screened.SLOWER, 1.0), (Screened.FASTER, -1.0))
    }
    likelier = max(ratios, key=lambda result: ratios[result])
    if ratios[likelier] > (0.0 if last else threshold):
        return likelier
    if ratios[likelier] <= -threshold:
        return Screened.CLEAR
    if not last and variance <= most_variance:
        return Screened.UNDECIDED
    interval = centre(values)  # a change of varying size can still be clearly large
    if interval.low > min_effect:
        return Screened.SLOWER
    if interval.high < -min_effect:
        return Screened.FASTER
    enough = count >= MIN_PAIRS_OF_SPREAD
    too_noisy = enough and spread(_without_farthest(values)) ** 2 > most_variance
    return Screened.TOO_NOISY if last or too_noisy else Screened.UNDECIDED


def _without_farthest(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values but the one that is farthest from their median."""
    distances = np.abs(values - np.median(values))
    return np.delete(values, int(np.argmax(distances)))


def pairs_to_confirm(
    changes: ArrayLike, min_effect: float, rows: int, max_pairs: int = MAX_PAIRS
) -> int:
    """The number of fresh pairs that confirm a flagged row.

    The screen's pairs, which are not used again, fix the number before fresh pairs are taken. The
    number is enough for the smallest possible p-value to pass, and to detect the effect by the
    test's normal approximation (the signed-rank test has 3/pi of the t-test's efficiency). The
    effect is `min_effect`, or the near end of the screen's interval if that is larger.

    Args:
        changes: The row's changes in the screen's pairs.
        min_effect: The smallest effect that the check looks for, a share of the step.
        rows: The number of rows that are confirmed together.
        max_pairs: The most pairs that the row is given, unless the smallest p-value needs more.
    """
    level = ALPHA / rows
    min_pairs = math.ceil(-math.log2(level)) + 1
    interval = centre(changes)
    near_end = max(interval.low, -interval.high) if math.isfinite(interval.low) else 0.0
    effect = max(min_effect, near_end) - MARGIN
    quantiles = float(special.ndtri(1 - level) + special.ndtri(POWER))
    needed = (quantiles * spread(changes) / effect) ** 2 * math.pi / 3
    return max(min_pairs, min(math.ceil(needed) + 2, max_pairs))


def pairs_to_screen(changes: ArrayLike, min_effect: float) -> int:
    """The usual number of pairs after which identical sides are screened as clear.

    Args:
        changes: A row's changes so far, for the spread.
        min_effect: The smallest effect that the check looks for, a share of the step.
    """
    threshold = math.log((1 - ERROR) / ERROR)
    return max(MIN_PAIRS, math.ceil(2 * threshold * spread(changes) ** 2 / min_effect**2))


def detectable(changes: ArrayLike) -> float | None:
    """The smallest slowdown that as many pairs would have confirmed, a share of the step.

    It is the effect that the confirmation detects with the probability `POWER`; see
    `pairs_to_confirm`. `None` for fewer than `MIN_PAIRS`, which show none of any size.
    """
    count = np.size(changes)
    if count < MIN_PAIRS:
        return None
    quantiles = float(special.ndtri(1 - ALPHA) + special.ndtri(POWER))
    return MARGIN + quantiles * spread(changes) * math.sqrt(math.pi / 3 / count)


@dataclass(frozen=True)
class ServerCorrelation:
    """The similarity of pairs whose sides were forked from the same server.

    Attributes:
        value: The intraclass correlation of changes by server, at most 1; NaN if unknown.
        p: The p-value of the hypothesis that there is none.
    """

    value: float
    p: float

    @property
    def is_high(self) -> bool:
        """True if a server's pairs count as one: it is above `MAX_CORRELATION`, not by chance."""
        return self.value > MAX_CORRELATION and self.p <= CORRELATION_LEVEL


def server_correlation(
    strata: Iterable[Mapping[int, Sequence[float]]],
) -> ServerCorrelation:
    """The intraclass correlation of changes by server, from a one-way analysis of variance.

    Source: Shrout and Fleiss, Intraclass correlations, Psychological Bulletin 86 (1979), ICC(1).

    Args:
        strata: The changes of each case by server. Cases differ in their means and spreads, which
            are taken out.
    """
    between, within, unequal = 0.0, 0.0, 0.0
    count = groups = cases = 0
    for by_server in strata:
        servers = [np.asarray(changes, dtype=np.float64) for changes in by_server.values()]
        changes = np.concatenate(servers) if servers else np.empty(0)
        if len(servers) < 2 or changes.size == len(servers) or np.ptp(changes) == 0:
            continue
        scaled = [(server - changes.mean()) / changes.std() for server in servers]
        between += sum(float(server.size * server.mean() ** 2) for server in scaled)
        within += sum(float(((server - server.mean()) ** 2).sum()) for server in scaled)
        unequal += sum(server.size**2 for server in servers) / changes.size
        count, groups, cases = count + changes.size, groups + len(servers), cases + 1
    if not cases:
        return ServerCorrelation(math.nan, 1.0)
    between_freedom, within_freedom = groups - cases, count - groups
    size = (count - unequal) / between_freedom
    of_servers, of_pairs = between / between_freedom, within / within_freedom
    value = (of_servers - of_pairs) / (of_servers + (size - 1) * of_pairs)
    ratio = of_servers / of_pairs if of_pairs else math.inf
    return ServerCorrelation(value, float(special.fdtrc(between_freedom, within_freedom, ratio)))


def p_slower(changes: ArrayLike) -> float:
    """The exact signed-rank p-value of the hypothesis that a row is not slower by over `MARGIN`.

    Source: Wilcoxon, Individual comparisons by ranking methods, 1945.
    """
    values = np.asarray(changes, dtype=np.float64) - MARGIN
    if not values.size:
        return 1.0
    result = stats.wilcoxon(values, alternative="greater", method="exact")
    return float(result.pvalue)


def p_faster(changes: ArrayLike) -> float:
    """The exact signed-rank p-value of the hypothesis that a row is not faster by over `MARGIN`."""
    return p_slower(-np.asarray(changes, dtype=np.float64))


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Adjusts p-values so that they hold for all rows together.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6 (1979).
    """
    adjusted: dict[Key, float] = {}
    highest = 0.0
    ordered = sorted(p_values, key=lambda row: p_values[row])
    for rank, row in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - rank) * p_values[row]))
        adjusted[row] = highest
    return adjusted


def centre(changes: ArrayLike, confidence: float = 0.95) -> Interval:
    """The Hodges-Lehmann estimate of changes, with the exact interval of the signed-rank test.

    The estimate is the median of the means of all pairs of changes, each change paired with
    itself too. The interval lies between two of these means (Hollander, Wolfe and Chicken,
    Nonparametric Statistical Methods, 3rd ed., sections 3.2 and 3.3). With fewer than 6 changes
    there is no 95 % interval.
    """
    values = np.asarray(changes, dtype=np.float64)
    if not values.size:
        return UNKNOWN
    first, second = np.triu_indices(values.size)
    means = np.sort((values[first] + values[second]) / 2)
    tails = np.cumsum(_signed_ranks(values.size))
    rank = int(np.searchsorted(tails, (1 - confidence) / 2, side="right"))
    estimate = float(np.median(means))
    if rank == 0:
        return Interval(estimate, math.nan, math.nan)
    return Interval(estimate, float(means[rank - 1]), float(means[-rank]))


def _signed_ranks(count: int) -> NDArray[np.float64]:
    """The probabilities of the signed-rank sums 0, 1, 2, ... of `count` symmetric values."""
    probabilities = np.ones(1)
    for rank in range(1, count + 1):
        step = np.zeros(rank + 1)
        step[[0, rank]] = 0.5
        probabilities = np.convolve(probabilities, step)
    return probabilities
