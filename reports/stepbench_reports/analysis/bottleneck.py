"""Finds a case's bottleneck: the longest part of a step, and the speed-up without that part.

Pure functions of a case's figures. The laps of the phases split a step into parts. Forward and
backward are split further into the fixed cost, which is the time they take with next to no data,
and the rest, which is computing. Launches that the device's work hides take no time.

Speed-ups are computed in each generation, in which all turns lie close together in time.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from stepbench_reports.analysis.generations import log_interval
from stepbench_reports.analysis.stats import Interval, point
from stepbench_reports.schema.phases import Phase

CLOSE = 0.10
"""The two longest parts are both bottlenecks if they differ by less than this share of the step."""


class BottleneckKind(StrEnum):
    """A kind of bottleneck; the value is the kind in words."""

    DATA = "data"
    """Waiting for the loader; without loader workers, making the batch."""
    WORKERS = "cores taken by loader workers"
    """The time by which loader workers slow forward and backward, since they use the same cores."""
    TRANSFER = "transfer"
    """Moving the batch to the device."""
    FIXED = "fixed cost"
    """Forward and backward with next to no data: Python, launches, and the traffic of weights.

    Without launches that the device's work hides.
    """
    COMPUTE = "compute"
    """The rest of forward and backward: arithmetic, and moving data between memory and cores."""
    COMPUTE_OR_FIXED = "compute or fixed cost"
    """Forward and backward, if their fixed cost is unknown."""
    OPTIMIZER = "optimizer"
    """The optimizer's step and clearing the gradients."""

    @property
    def short(self) -> str:
        """A word for a narrow column."""
        return _SHORT.get(self, str(self))


_SHORT = {
    BottleneckKind.WORKERS: "workers",
    BottleneckKind.TRANSFER: "transf.",
    BottleneckKind.FIXED: "fixed",
    BottleneckKind.COMPUTE_OR_FIXED: "comp./fixed",
    BottleneckKind.OPTIMIZER: "optim.",
}


LOADING = (BottleneckKind.DATA, BottleneckKind.WORKERS)
"""The parts of a step that the loader's work causes: without it, neither is left."""
_SPLIT = (BottleneckKind.FIXED, BottleneckKind.COMPUTE)
"""The parts into which forward and backward are split."""


@dataclass(frozen=True)
class StepFigures:
    """The figures that give a step's parts: over all turns of a case, or over a generation's.

    Attributes:
        step_s: The mean step, seconds.
        shares: Each phase's share of the steps' total time.
        fixed_cost_s: The time of a step's forward and backward with next to no data, seconds,
            without launches that the device's work hides; NaN if unknown.
        unloaded_step_s: The step repeated on a single batch, seconds; NaN if unknown.
        hidden_launch_s: Launches of a step that the device's work hides, seconds.
        worker_cores_s: The time of forward and backward beyond what they take with nothing to load,
            seconds; NaN if unknown.
    """

    step_s: float
    shares: Mapping[str, float]
    fixed_cost_s: float = math.nan
    unloaded_step_s: float = math.nan
    hidden_launch_s: float = 0.0
    worker_cores_s: float = 0.0

    @property
    def parts(self) -> dict[BottleneckKind, float]:
        """The parts of the mean step by kind, seconds; only those that take time."""
        passes_s = self._phase_s(Phase.FORWARD) + self._phase_s(Phase.BACKWARD)
        taken_s = min(self.worker_cores_s, passes_s) if self.worker_cores_s > 0 else 0.0
        parts = {
            BottleneckKind.DATA: self._phase_s(Phase.DATALOAD),
            BottleneckKind.TRANSFER: self._phase_s(Phase.TRANSFER),
            BottleneckKind.WORKERS: taken_s,
            **_split_passes(passes_s - taken_s, self.fixed_cost_s),
            BottleneckKind.OPTIMIZER: self._phase_s(Phase.OPTIMIZER),
        }
        return {kind: seconds for kind, seconds in parts.items() if seconds > 0}

    def _phase_s(self, phase: str) -> float:
        return self.shares.get(phase, 0.0) * self.step_s

    def step_without(self, kind: BottleneckKind) -> float:
        """The step without one part, seconds; NaN if the part is unknown.

        With nothing to load, it is the step that was measured so, if known: the rest of a step that
        waits may be slower than a step without waiting. Without computing, the step has to wait for
        the launches that computing hides.
        """
        if kind in LOADING and not math.isnan(self.unloaded_step_s):
            return self.unloaded_step_s
        if kind in _SPLIT and math.isnan(self.fixed_cost_s + self.hidden_launch_s):
            return math.nan
        hidden_s = self.hidden_launch_s if kind is BottleneckKind.COMPUTE else 0.0
        return max(0.0, self.step_s - max(0.0, self.parts.get(kind, 0.0) - hidden_s))

    def step_of_double_batch(self) -> float:
        """The time for a step's samples, seconds, in batches twice as large; NaN if unknown.

        Forward's and backward's fixed cost and the optimizer take as long for the larger batch.
        """
        if math.isnan(self.fixed_cost_s):
            return math.nan
        per_batch = (BottleneckKind.FIXED, BottleneckKind.OPTIMIZER)
        return self.step_s - sum(self.parts.get(kind, 0.0) for kind in per_batch) / 2


@dataclass(frozen=True)
class Bottleneck:
    """The bottleneck of a step.

    Attributes:
        figures: The figures over all turns.
        parts: The parts of the mean step by kind, seconds, the longest first.
        generations: The figures of each generation; empty if unknown.
        loader_step_s: The time the loader, running alone, takes for a step's batches, seconds; NaN
            if it does not prefetch, or if unknown.
        workers: The number of loader workers.
    """

    figures: StepFigures
    parts: Mapping[BottleneckKind, float]
    generations: tuple[StepFigures, ...] = ()
    loader_step_s: float = math.nan
    workers: int = 0

    @property
    def step_s(self) -> float:
        """The mean step, seconds."""
        return self.figures.step_s

    @property
    def kinds(self) -> tuple[BottleneckKind, ...]:
        """The kind of the longest part, and that of the second if it is close (see `CLOSE`)."""
        (first, longest_s), *others = self.parts.items()
        if others and longest_s - others[0][1] < CLOSE * self.step_s:
            return first, others[0][0]
        return (first,)

    @property
    def share(self) -> float:
        """The longest part's share of the step."""
        return self.share_of(self.kinds[0])

    @property
    def best_step_s(self) -> float:
        """The step without the longest part, seconds."""
        return self.best_without(self.kinds[0]).value

    @property
    def gain(self) -> Interval:
        """The speed-up without the longest part; infinity if nothing is left."""
        return self.gain_without(self.kinds[0])

    def share_of(self, kind: BottleneckKind) -> float:
        """A part's share of the step."""
        return self.parts[kind] / self.step_s

    def best_without(self, kind: BottleneckKind) -> Interval:
        """The step without one part, seconds: the mean step / `gain_without`."""
        gain = self.gain_without(kind)
        return Interval(self.step_s / gain.value, self.step_s / gain.high, self.step_s / gain.low)

    def loader_limits(self, kind: BottleneckKind) -> bool:
        """True if the loader would be the bottleneck of a step without the part `kind`.

        A loader time longer than the whole step in training was measured too slow, and is ignored.
        """
        rest_s = self.figures.step_without(kind)
        return kind not in LOADING and rest_s < self.loader_step_s <= self.step_s

    def launches_limit(self, kind: BottleneckKind) -> bool:
        """True if hidden launches, now exposed, would limit a step without the part `kind`."""
        hides = kind is BottleneckKind.COMPUTE and self.figures.hidden_launch_s > 0
        return hides and not self.loader_limits(kind)

    def gain_without(self, kind: BottleneckKind) -> Interval:
        """The speed-up without one part, paired by generation; infinity if nothing is left.

        The loader's rate is measured once, so a step that it limits has no interval.
        """
        if self.loader_limits(kind):
            return point(self.step_s / self.loader_step_s)
        return self._gain(lambda figures: figures.step_without(kind))

    def gain_of_double_batch(self) -> Interval:
        """The ratio of samples/s in batches twice as large; NaN if unknown."""
        return self._gain(StepFigures.step_of_double_batch)

    def gain_without_workers(self) -> Interval:
        """The speed-up if the training process makes its batches itself; NaN if unknown.

        A batch then takes as long as it takes one of the workers while nothing else runs.
        """
        making_s = self.loader_step_s * self.workers
        gain = self._gain(lambda figures: figures.unloaded_step_s + making_s)
        return point(gain.value)  # the loader's rate is measured once

    def _gain(self, step_s: Callable[[StepFigures], float]) -> Interval:
        """The speed-up to another step: one sample a generation that has its figures."""
        gains = [_ratio(figures.step_s, step_s(figures)) for figures in self.generations]
        gains = [gain for gain in gains if not math.isnan(gain)]
        if len(gains) < 2 or not all(map(math.isfinite, gains)):
            return point(_ratio(self.step_s, step_s(self.figures)))
        return log_interval(gains)


def _ratio(step_s: float, other_s: float) -> float:
    return math.inf if other_s == 0 else step_s / other_s


def find(
    figures: StepFigures,
    generations: Sequence[StepFigures] = (),
    *,
    loader_step_s: float = math.nan,
    workers: int = 0,
) -> Bottleneck | None:
    """Finds a case's bottleneck; `None` without a positive step and part.

    Args:
        figures: The figures over all turns.
        generations: The figures of each generation.
        loader_step_s: The time the loader, running alone, takes for a step's batches, seconds; NaN
            if it does not prefetch, or if unknown.
        workers: The number of loader workers.
    """
    if not figures.step_s > 0 or not figures.parts:
        return None
    ordered = sorted(figures.parts.items(), key=lambda part: part[1], reverse=True)
    return Bottleneck(figures, dict(ordered), tuple(generations), loader_step_s, workers)


def _split_passes(passes_s: float, fixed_cost_s: float) -> dict[BottleneckKind, float]:
    """Splits forward and backward into their fixed cost, if it is known, and computing."""
    if math.isnan(fixed_cost_s):
        return {BottleneckKind.COMPUTE_OR_FIXED: passes_s}
    fixed_s = min(fixed_cost_s, passes_s)
    return {BottleneckKind.FIXED: fixed_s, BottleneckKind.COMPUTE: passes_s - fixed_s}
