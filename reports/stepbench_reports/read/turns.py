"""A case's turns, and the figures of each of its generations."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stepbench_reports.analysis.control import PhaseMean
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
KINDS = ("lapped", "bare")
"""The kinds of turn whose steps load their batches: with laps, and without."""
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

        Turns in which something was compiled, and suspended ones, are in no sum.
        """
        turns: dict[Hashable, list[TurnFacts]] = {}
        for turn in self.taken:
            if turn.kind == kind and turn.elapsed_s > 0 and turn.is_work:
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

    def lap_costs(self) -> list[float]:
        """The mean step with laps / without in each generation, over the same rounds of both.

        The rounds are those in which both turns count; all in a generation that has none.
        """
        rounds: dict[Hashable, dict[int, dict[str, TurnFacts]]] = {}
        for turn in self.taken:
            if turn.kind in KINDS and turn.elapsed_s > 0 and turn.is_work:
                generation = rounds.setdefault((turn.group, turn.generation), {})
                generation.setdefault(turn.round, {})[turn.kind] = turn
        costs = []
        for generation in rounds.values():
            both = [turns for turns in generation.values() if len(turns) == 2]
            counted = [turns for turns in both if all(turn.counts for turn in turns.values())]
            lapped_s, bare_s = (
                _mean(sum(turn.elapsed_s for turn in turns), turns)
                for turns in ([turns[kind] for turns in counted or both] for kind in KINDS)
            )
            if both:
                costs.append(lapped_s / bare_s)
        return costs

    def median(self, laps: Laps) -> Interval:
        """The median of laps: the geometric mean of the generations' medians, with an interval.

        Without several generations, or if one's median is 0, the median of all laps without an
        interval; NaN without laps.
        """
        medians = [float(np.median(part)) for part in self._split(laps) if len(part)]
        if len(medians) < 2 or min(medians) <= 0:
            return point(float(np.median(laps))) if len(laps) else UNKNOWN
        return log_interval(medians)

    def slowdown(self) -> float:
        """The ratio of steps in slow turns to those in fast ones: the 90 % quantile / the 10 %.

        NaN if no bare turn's threads waited for a core for more than `WAITED` of its time.
        """
        bare = [turn for turn in self.taken if turn.kind == "bare" and turn.is_work]
        if not any((turn.run_delay or 0.0) > WAITED for turn in bare):
            return math.nan
        fast, slow = np.quantile([turn.elapsed_s / turn.steps for turn in bare], [0.1, 0.9])
        return float(slow / fast)

    def by_generation(self) -> tuple["Turns", ...]:
        """The turns of each generation in which nothing was compiled."""
        parts: dict[Hashable, list[TurnFacts]] = {}
        for turn in self.taken:
            if turn.elapsed_s > 0 and turn.is_work:
                parts.setdefault((turn.group, turn.generation), []).append(turn)
        return tuple(Turns(tuple(part), workers=self.workers) for part in parts.values())

    def step_s(self, kind: str) -> float:
        """The mean step in turns of one kind, seconds; NaN without such turns.

        Turns that are left out count only if no others are left.
        """
        turns = self._counted(kind)
        return _mean(sum(turn.elapsed_s for turn in turns), turns)

    def phase_means(self, phase: str) -> dict[Hashable, PhaseMean]:
        """The mean time of a phase in lapped turns that count, by group and generation."""
        turns: dict[Hashable, list[TurnFacts]] = {}
        for turn in self.taken:
            if turn.kind == "lapped" and turn.counts and phase in turn.phases_s:
                turns.setdefault((turn.group, turn.generation), []).append(turn)
        return {
            key: PhaseMean(
                math.fsum(turn.phases_s[phase] for turn in of_generation) / steps,
                math.fsum(turn.elapsed_s for turn in of_generation) / steps,
            )
            for key, of_generation in turns.items()
            if (steps := sum(turn.steps for turn in of_generation))
        }

    def phases(self, kind: str) -> tuple[str, ...]:
        """The phases that were timed in turns of one kind."""
        return tuple(dict.fromkeys(name for turn in self._counted(kind) for name in turn.phases_s))

    def lap_s(self, kind: str, phase: str) -> float:
        """A phase's mean time in a step, seconds, in turns of one kind; NaN without such turns.

        Turns that are left out count only if no others are left.
        """
        turns = [turn for turn in self._counted(kind) if turn.phases_s]
        return _mean(sum(turn.phases_s.get(phase, 0.0) for turn in turns), turns)

    def passes_s(self, kind: str) -> float:
        """The mean time of forward and backward in a step, seconds; see `lap_s`."""
        return self.lap_s(kind, Phase.FORWARD) + self.lap_s(kind, Phase.BACKWARD)

    @property
    def worker_cores_s(self) -> float:
        """The time of forward and backward beyond that with nothing to load, seconds.

        0 without loader workers; NaN if unknown.
        """
        return self.passes_s("lapped") - self.passes_s("unloaded") if self.workers else 0.0

    def _counted(self, kind: str) -> list[TurnFacts]:
        """The turns of a kind that count; all of them if none counts."""
        turns = [turn for turn in self.taken if turn.kind == kind]
        return [turn for turn in turns if turn.counts] or turns

    def _split(self, laps: Laps) -> list[Laps]:
        """Splits laps by generation; a single part if the laps are not those of lapped turns."""
        counted = [turn for turn in self.taken if turn.kind == "lapped" and turn.counts]
        if sum(turn.steps for turn in counted) != len(laps):
            return [laps]
        ends = np.cumsum([turn.steps for turn in counted])[:-1]
        parts: dict[Hashable, list[Laps]] = {}
        for turn, part in zip(counted, np.split(laps, ends), strict=True):
            parts.setdefault((turn.group, turn.generation), []).append(part)
        return [np.concatenate(of_generation) for of_generation in parts.values()]


def _mean(total_s: float, turns: Sequence[TurnFacts]) -> float:
    """The mean of a time over the steps of turns, seconds; NaN without steps."""
    steps = sum(turn.steps for turn in turns)
    return total_s / steps if steps else math.nan
