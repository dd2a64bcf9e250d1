"""Controls: phases that the compared setting cannot touch, which take as long in both cases.

A control that differs shows that more than the setting differed between two cases: the machine, or
what was settled when their processes began.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from stepbench_reports.analysis.generations import log_interval, mean_of_generations
from stepbench_reports.analysis.stats import UNKNOWN, Interval

Key = TypeVar("Key", bound=Hashable)
"""The name of a generation."""
MAX_EFFECT = 0.03
"""The largest difference of a control, as a share of the step, that leaves a comparison certain."""
RUN_CONFIDENCE = 0.99
"""The probability that no control of a run is in doubt by chance."""


@dataclass(frozen=True)
class PhaseMean:
    """The mean duration of a phase in a generation, and that of the step that it is a part of.

    Attributes:
        phase_s: The mean time of the phase in a step, seconds.
        step_s: The mean step, seconds.
    """

    phase_s: float
    step_s: float


@dataclass(frozen=True)
class Control:
    """The comparison of a phase that the setting cannot touch.

    Attributes:
        ratio: The base's phase / the case's, with a 95 % interval; NaN if a phase took no time.
            Read as a speed-up, it should be 1.
        effect: The difference of both phases as a share of the base's step, above 0 if the base's
            takes longer. All such intervals of a run hold together with `RUN_CONFIDENCE`.
    """

    ratio: Interval
    effect: Interval

    @property
    def doubtful(self) -> bool:
        """True if the control certainly differs by more than `MAX_EFFECT` of the step."""
        return self.effect.low > MAX_EFFECT or self.effect.high < -MAX_EFFECT


def compare(
    case: Mapping[Key, PhaseMean], base: Mapping[Key, PhaseMean], controls: int
) -> Control | None:
    """Compares a phase of two cases, paired by generation.

    Args:
        case: The phase of the case that is compared, by generation.
        base: The phase of the case that it is compared with.
        controls: The number of controls in the run.

    Returns:
        The control; `None` without two generations in common.
    """
    pairs = [(case[key], base[key]) for key in case if key in base]
    if len(pairs) < 2:
        return None
    confidence = 1 - (1 - RUN_CONFIDENCE) / controls  # by Bonferroni's inequality
    times_s = [(of_case.phase_s, of_base.phase_s) for of_case, of_base in pairs]
    measurable = all(min(both) > 0 and math.isfinite(max(both)) for both in times_s)
    return Control(
        log_interval([base_s / case_s for case_s, base_s in times_s]) if measurable else UNKNOWN,
        mean_of_generations([(b.phase_s - a.phase_s) / b.step_s for a, b in pairs], confidence),
    )
