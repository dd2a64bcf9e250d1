"""A case's turns, and the figures of each of its generations."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stepbench_reports.analysis.generations import (
    GenerationSteps,
    generation_steps,
    log_interval,
)
from stepbench_reports.analysis.stats import UNKNOWN, Interval, point
from stepbench_reports.schema.measurement import TurnFacts
from stepbench_reports.schema.phases import Phase

WAITED = 0.05
"""The share of a turn for which threads had no core, above which the turn was slowed by it."""
Laps = NDArray[np.float64]
"""A figure for each lapped step that counts, in order."""


@dataclass(frozen=True)
class Turns:
    """The turns of a case.

    Attributes:
        taken: The turns, in order.
        workers: True if the case has loader workers.
    """

    taken: tuple[TurnFacts, ...]
    workers: bool

    def steps(self, kind: str) -> Mapping[Hashable, GenerationSteps]:
        """The mean steps in turns of one kind, by group and generation.

        Turns in which something was compiled are in no sum.
        """
        turns: dict[Hashable, list[TurnFacts]] = {}
        for turn in self.taken:
            if turn.kind == kind and turn.elapsed_s > 0 and not turn.compiled:
                turns.setdefault((turn.group, turn.generation), []).append(turn)
        return {
            key: generation_steps(
                [turn.elapsed_s for turn in of_generation],
                [turn.steps for turn in of_generation],
                [turn.counts for turn in of_generation],
                workers=self.workers,
            )
            for key, of_generation in turns.items()
        }

    def median(self, laps: Laps) -> Interval:
        """The median of laps: the geometric mean of the generations' medians, with an interval.

        Without several generations, or if one's median is 0, the median of all laps without an
        interval; NaN without laps.
        """
        medians = [float(np.median(part)) for part in self._by_generation(laps) if len(part)]
        if len(medians) < 2 or min(medians) <= 0:
            return point(float(np.median(laps))) if len(laps) else UNKNOWN
        return log_interval(medians)

    def slowdown(self) -> float:
        """The ratio of steps in slow turns to those in fast ones: the 90 % quantile / the 10 %.

        NaN if no bare turn's threads waited for a core for more than `WAITED` of its time.
        """
        bare = [turn for turn in self.taken if turn.kind == "bare"]
        if not any((turn.run_delay or 0.0) > WAITED for turn in bare):
            return math.nan
        fast, slow = np.quantile([turn.elapsed_s / turn.steps for turn in bare], [0.1, 0.9])
        return float(slow / fast)

    def passes_s(self, kind: str) -> float:
        """The mean time of forward and backward in a step, seconds, in turns of one kind.

        NaN without such turns. Turns that are left out count only if no others are left.
        """
        turns = [turn for turn in self.taken if turn.kind == kind and turn.phases_s]
        turns = [turn for turn in turns if turn.counts] or turns
        steps = sum(turn.steps for turn in turns)
        total_s = sum(
            turn.phases_s.get(phase, 0.0)
            for turn in turns
            for phase in (Phase.FORWARD, Phase.BACKWARD)
        )
        return total_s / steps if steps else math.nan

    def _by_generation(self, laps: Laps) -> list[Laps]:
        """Splits laps by generation; a single part if the laps are not those of lapped turns."""
        counted = [turn for turn in self.taken if turn.kind == "lapped" and turn.counts]
        if sum(turn.steps for turn in counted) != len(laps):
            return [laps]
        ends = np.cumsum([turn.steps for turn in counted])[:-1]
        parts: dict[Hashable, list[Laps]] = {}
        for turn, part in zip(counted, np.split(laps, ends), strict=True):
            parts.setdefault((turn.group, turn.generation), []).append(part)
        return [np.concatenate(of_generation) for of_generation in parts.values()]
