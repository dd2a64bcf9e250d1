"""Estimates how long a run takes before anything is measured, from its options and its cases."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import structs

from stepbench.config.case import Case
from stepbench.config.options import Options
from stepbench.runner.terminal import format_duration
from stepbench_reports.schema.run import SamplingOptions

COMPILE_GUESS_S = 20.0
"""The assumed time of compiling with an empty cache, seconds."""
OVERHEAD_GUESS_S = 2.0
"""The assumed time of setup, warm-up, passes and exit of a case, seconds."""
STEP_GUESS_S = 0.05
"""The assumed duration of a step, seconds."""
TASK_GUESS_S = 5.0
"""The assumed time of comparing the tensors of a case, or of profiling it, seconds."""
SHORT = SamplingOptions(steps=20)
"""The sampling that the first line of a run recommends to those who are in a hurry."""
MIN_SAVING = 0.3
"""The smallest share of a run's time that is worth a recommendation."""
LAST_PART = 0.2
"""The last part of an expected time, as a share, in which work may turn out to take longer."""


def case_s(sampling: SamplingOptions) -> float:
    """The expected time of measuring a case without its first compilation, seconds."""
    if sampling.steps is not None:
        # As many steps with laps as without.
        return OVERHEAD_GUESS_S + 2 * sampling.steps * STEP_GUESS_S
    return sampling.max_time_s + OVERHEAD_GUESS_S


def left_s(expected_s: float, elapsed_s: float) -> float:
    """The time left of some work, seconds, which always shrinks.

    Work may take longer than expected. In the last part of the expected time, the time left
    therefore shrinks ever more slowly, and never comes to an end.

    Args:
        expected_s: The expected time of the work, seconds.
        elapsed_s: The time since it began, seconds.
    """
    last_s = LAST_PART * expected_s
    if last_s <= 0:
        return 0.0
    late_s = elapsed_s - (expected_s - last_s)
    return last_s - late_s if late_s <= 0 else last_s**2 / (last_s + late_s)


@dataclass(frozen=True)
class PlannedWork:
    """The work of a run.

    Attributes:
        cases: The number of cases to measure.
        compilations: The number of compilations with an empty cache.
        tasks: The number of comparisons of tensors, and of profiles.
        trains: True if trained models are compared, for which the time is not known beforehand.
    """

    cases: int
    compilations: int
    tasks: int
    trains: bool = False

    def expected_s(self, sampling: SamplingOptions) -> float:
        """The expected time without trainings, seconds."""
        return (
            self.cases * case_s(sampling)
            + self.compilations * COMPILE_GUESS_S
            + self.tasks * TASK_GUESS_S
        )


def work(cases: Sequence[Case], options: Options) -> PlannedWork:
    """The work that some cases make.

    Args:
        cases: The cases, which are not measured yet.
        options: The run's options.
    """
    compared = {case.numerics_key for case in cases} if options.parity is not None else ()
    profiled = cases if options.profiling is not None else ()
    return PlannedWork(
        cases=len(cases),
        compilations=compilations(cases, cold=options.cold),
        tasks=len(compared) + len(profiled),
        trains=options.train_parity is not None,
    )


def compilations(cases: Sequence[Case], *, cold: bool) -> int:
    """The number of compilations with an empty cache that cases need.

    Args:
        cases: The cases.
        cold: True if each case has a cache of its own.
    """
    compiled = [c for c in cases if c.has_compile_cache and not c.overwrites_gradients]
    return len(compiled if cold else {case.compile_key for case in compiled})


def sentence(to_do: PlannedWork, sampling: SamplingOptions) -> str:
    """Says how long a run takes, and what makes it shorter."""
    expected_s = to_do.expected_s(sampling)
    text = format_duration(expected_s)
    if to_do.trains:
        text += " without the trainings of --train-parity"
    short_s = to_do.expected_s(structs.replace(sampling, steps=SHORT.steps))
    if short_s > (1 - MIN_SAVING) * expected_s:
        return text
    duration = format_duration(short_s)
    return f"{text}; --steps {SHORT.steps} takes {duration}, without intervals"
