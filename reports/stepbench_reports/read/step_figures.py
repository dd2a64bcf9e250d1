"""The figures of a case's step in a generation, from which follow the parts of its step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from stepbench_reports.analysis.bottleneck import StepFigures
from stepbench_reports.analysis.launches import Launches, fixed_cost_s
from stepbench_reports.read.turns import Turns


@dataclass(frozen=True)
class CaseContext:
    """The facts of a case that its generations' figures need besides turns.

    Attributes:
        launches: The launches of each phase over all generations, which tell those that the
            device's work hides.
        tiny_size: The number of samples in a tiny batch; NaN if there is none.
        batch_size: The number of samples in a batch.
        asynchronous: True if the device works while the host does; loader workers then take no
            cores from forward and backward.
    """

    launches: Mapping[str, Launches]
    tiny_size: float
    batch_size: float
    asynchronous: bool


def of_generation(turns: Turns, case: CaseContext) -> StepFigures:
    """The figures of a generation, from its turns."""
    phases = turns.phases("lapped")
    lapped_s = sum(turns.lap_s("lapped", phase) for phase in phases)
    bare_s = turns.step_s("bare")
    fixed_s = {phase: _fixed_s(turns, phase, case) for phase in case.launches}
    hidden = [phase for phase, launches in case.launches.items() if launches.hidden_s > 0]
    return StepFigures(
        step_s=turns.step_s("lapped") if math.isnan(bare_s) else bare_s,
        shares={phase: turns.lap_s("lapped", phase) / lapped_s for phase in phases},
        fixed_cost_s=sum(seconds for phase, seconds in fixed_s.items() if phase not in hidden),
        unloaded_step_s=turns.step_s("unloaded"),
        hidden_launch_s=sum(fixed_s[phase] for phase in hidden),
        worker_cores_s=0.0 if case.asynchronous else turns.worker_cores_s,
    )


def _fixed_s(turns: Turns, phase: str, case: CaseContext) -> float:
    if math.isnan(case.tiny_size):
        return math.nan
    tiny_s, full_s = turns.lap_s("tiny", phase), turns.lap_s("unloaded", phase)
    if math.isnan(tiny_s - full_s):
        return math.nan
    return fixed_cost_s(tiny_s, full_s, int(case.tiny_size), int(case.batch_size))
