"""Finds a case's bottleneck: the longest part of a step, and the best speed-up without that part.

Pure functions of a case's figures. The laps of the phases split a step into parts. Forward and
backward are split further into the launch overhead, which is the time they take with next to no
data, and the rest, which is computing. Launches that the device's work hides take no time.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

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
    LAUNCH = "launch overhead"
    """The cost of forward and backward with next to no data: Python, dispatch, kernel launches.

    Without launches that the device's work hides.
    """
    COMPUTE = "compute"
    """The rest of forward and backward: arithmetic, and moving data between memory and cores."""
    COMPUTE_OR_LAUNCH = "compute or launch overhead"
    """Forward and backward, if their launch overhead is unknown."""
    OPTIMIZER = "optimizer"
    """The optimizer's step and clearing the gradients."""

    @property
    def short(self) -> str:
        """A word for a narrow column."""
        return _SHORT.get(self, str(self))


_SHORT = {
    BottleneckKind.WORKERS: "workers",
    BottleneckKind.TRANSFER: "transf.",
    BottleneckKind.LAUNCH: "launch",
    BottleneckKind.COMPUTE_OR_LAUNCH: "comp./launch",
    BottleneckKind.OPTIMIZER: "optim.",
}


@dataclass(frozen=True)
class Bottleneck:
    """The bottleneck of a step.

    Attributes:
        step_s: The mean step, seconds.
        parts: The parts of the mean step by kind, seconds, the longest first.
        loader_step_s: The time the loader, running alone, takes for a step's batches, seconds; NaN
            if it does not prefetch, or if unknown.
        unloaded_step_s: The step repeated on a single batch, seconds; NaN if unknown.
        hidden_launch_s: Launches that the device's work hides, seconds; in no part.
    """

    step_s: float
    parts: Mapping[BottleneckKind, float]
    loader_step_s: float = math.nan
    unloaded_step_s: float = math.nan
    hidden_launch_s: float = 0.0

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
        """The shortest possible step without the longest part, seconds."""
        return self.best_without(self.kinds[0])

    @property
    def gain(self) -> float:
        """The best possible speed-up without the longest part; infinity if nothing is left."""
        return self.gain_without(self.kinds[0])

    def share_of(self, kind: BottleneckKind) -> float:
        """A part's share of the step."""
        return self.parts[kind] / self.step_s

    def best_without(self, kind: BottleneckKind) -> float:
        """The shortest possible step without one part, seconds; at least the loader's time.

        Without computing, the step has to wait for the launches that computing hides.

        Without data, the result is the step measured with nothing to load, if known: the rest of a
        step that waits may be slower than a step without waiting. A loader time longer than the
        whole step in training was measured too slow, and is ignored.
        """
        if kind is BottleneckKind.DATA and not math.isnan(self.unloaded_step_s):
            return min(self.unloaded_step_s, self.step_s)
        return self.loader_step_s if self.loader_limits(kind) else self._rest_s(kind)

    def loader_limits(self, kind: BottleneckKind) -> bool:
        """True if the loader would be the bottleneck of a step without the part `kind`."""
        rest_s = self._rest_s(kind)
        return kind is not BottleneckKind.DATA and rest_s < self.loader_step_s <= self.step_s

    def launches_limit(self, kind: BottleneckKind) -> bool:
        """True if hidden launches, now exposed, would limit a step without the part `kind`."""
        hides = kind is BottleneckKind.COMPUTE and self.hidden_launch_s > 0
        return hides and not self.loader_limits(kind)

    def _rest_s(self, kind: BottleneckKind) -> float:
        """The rest of the step without one part, and with the launches that the part hides."""
        hidden_s = self.hidden_launch_s if kind is BottleneckKind.COMPUTE else 0.0
        return max(0.0, self.step_s - max(0.0, self.parts[kind] - hidden_s))

    def gain_without(self, kind: BottleneckKind) -> float:
        """The best possible speed-up without one part; infinity if nothing is left."""
        best_s = self.best_without(kind)
        return self.step_s / best_s if best_s > 0 else math.inf


def find(
    step_s: float,
    shares: Mapping[str, float],
    launch_overhead_s: float,
    loader_step_s: float = math.nan,
    unloaded_step_s: float = math.nan,
    *,
    hidden_launch_s: float = 0.0,
    workers_s: float = 0.0,
) -> Bottleneck | None:
    """Finds a case's bottleneck; `None` without a positive step and part.

    Args:
        step_s: The mean step, seconds.
        shares: Each phase's share of the steps' total time.
        launch_overhead_s: The time of a step's forward and backward with next to no data, seconds,
            without launches that the device's work hides; NaN if unknown.
        loader_step_s: The time the loader, running alone, takes for a step's batches, seconds; NaN
            if it does not prefetch, or if unknown.
        unloaded_step_s: The step repeated on a single batch, seconds; NaN if unknown.
        hidden_launch_s: Launches of a step that the device's work hides, seconds.
        workers_s: The time of forward and backward beyond what they take with nothing to load,
            seconds; NaN if unknown.
    """
    passes_s = step_s * (shares.get(Phase.FORWARD, 0.0) + shares.get(Phase.BACKWARD, 0.0))
    taken_s = min(max(0.0, workers_s), passes_s) if workers_s > 0 else 0.0
    parts = {
        BottleneckKind.DATA: shares.get(Phase.DATALOAD, 0.0) * step_s,
        BottleneckKind.TRANSFER: shares.get(Phase.TRANSFER, 0.0) * step_s,
        BottleneckKind.WORKERS: taken_s,
        **_split_passes(passes_s - taken_s, launch_overhead_s),
        BottleneckKind.OPTIMIZER: shares.get(Phase.OPTIMIZER, 0.0) * step_s,
    }
    positive = {kind: seconds for kind, seconds in parts.items() if seconds > 0}
    if not positive or not step_s > 0:
        return None
    ordered = sorted(positive.items(), key=lambda part: part[1], reverse=True)
    return Bottleneck(step_s, dict(ordered), loader_step_s, unloaded_step_s, hidden_launch_s)


def _split_passes(passes_s: float, launch_overhead_s: float) -> dict[BottleneckKind, float]:
    """Splits forward and backward into launch overhead, if it is known, and computing."""
    if math.isnan(launch_overhead_s):
        return {BottleneckKind.COMPUTE_OR_LAUNCH: passes_s}
    launch_s = min(launch_overhead_s, passes_s)
    return {BottleneckKind.LAUNCH: launch_s, BottleneckKind.COMPUTE: passes_s - launch_s}
