"""The bars of a report's page: the mean step of each case, split by phase."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from stepbench_reports.analysis.stats import point
from stepbench_reports.figures.style import phase_colour
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.wording import quantity, summary

MAX_BARS = 200
"""The maximum number of cases with a bar; the table has all."""


@dataclass(frozen=True)
class Segment:
    """A phase's part of a bar.

    Attributes:
        width: The length as a share of the longest bar.
        colour: The phase's colour.
        text: The phase with its mean time and its share of the step.
    """

    width: float
    colour: str
    text: str


@dataclass(frozen=True)
class Bar:
    """A case's bar.

    Attributes:
        name: The case's name.
        step: The mean step, with its unit.
        segments: The phases in order.
    """

    name: str
    step: str
    segments: tuple[Segment, ...]


def colours(run: Run) -> Mapping[str, str]:
    """The colour of each phase of a run."""
    return {phase: phase_colour(phase, number) for number, phase in enumerate(run.phase_names)}


def bars(run: Run) -> list[Bar]:
    """The bars of the first `MAX_BARS` measured cases."""
    measured = [m for m in run.measured if math.isfinite(m.mean_step.value)][:MAX_BARS]
    of_phases = colours(run)
    longest_s = max((m.mean_step.value for m in measured), default=math.nan)
    return [
        Bar(
            summary.name(run, m),
            f"{quantity.milliseconds(m.mean_step)} ms",
            tuple(
                Segment(
                    m.shares.get(phase, 0.0) * m.mean_step.value / longest_s,
                    colour,
                    f"{phase}: {_part(m, phase)}",
                )
                for phase, colour in of_phases.items()
            ),
        )
        for m in measured
    ]


def _part(measurement: Measurement, phase: str) -> str:
    share = measurement.shares.get(phase, 0.0)
    mean = quantity.milliseconds(point(share * measurement.mean_step.value))
    return f"{mean or 0} ms, {quantity.percent(share)}"
