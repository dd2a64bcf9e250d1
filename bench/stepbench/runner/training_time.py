"""Estimates how long the trainings of `--train-parity` will take, before the first of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from stepbench.config.case import Case
from stepbench.runner.equivalence import seed_counts
from stepbench.runner.terminal import format_duration
from stepbench_reports.schema.parity import TrainParityOptions
from stepbench_reports.schema.results import MeasurementRecord
from stepbench_reports.wording.with_noun import with_noun


@dataclass(frozen=True)
class TrainingTime:
    """The expected time of the trainings of some cases, without starts and tests.

    Attributes:
        cases: The number of cases that are compared with an eager fp32 case.
        low_s: The time if the fewest seeds decide, seconds; 0 if no steps were measured.
        high_s: The time if all seeds are needed, or the budgets are spent, seconds.
    """

    cases: int
    low_s: float
    high_s: float


def step_s(measurement: MeasurementRecord) -> float | None:
    """A measured case's mean step, seconds; `None` if it has no findings."""
    if measurement.findings is None:
        return None
    blocks = measurement.findings.blocks
    return sum(block.elapsed_s for block in blocks) / sum(block.steps for block in blocks)


def training_time(
    cases: Collection[Case], steps_s: Mapping[Case, float], options: TrainParityOptions
) -> TrainingTime:
    """Estimates the time of trainings from the measured steps.

    Args:
        cases: The cases to compare with eager fp32, each the `numerics_key` of those that compute
            the same numbers.
        steps_s: The mean steps of measured cases, seconds, by `numerics_key`. Others may take the
            whole budget.
        options: The number of steps and seeds, and the budget.
    """
    known = [case for case in cases if case in steps_s]
    unknown_s = options.budget_s * (len(cases) - len(known))
    counts = seed_counts(options)
    return TrainingTime(
        len(cases),
        _time_s(known, steps_s, options, counts[0]),
        _time_s(known, steps_s, options, counts[-1]) + unknown_s,
    )


def _time_s(
    cases: Collection[Case],
    steps_s: Mapping[Case, float],
    options: TrainParityOptions,
    seeds: int,
) -> float:
    total_s, trained = 0.0, set[Case]()
    for case in cases:
        step_s = steps_s[case]
        if case.eager_fp32 not in trained:  # each seed of it is trained once for all cases
            trained.add(case.eager_fp32)
            step_s += steps_s.get(case.eager_fp32, step_s)
        total_s += min(options.budget_s, seeds * options.steps * step_s)
    return total_s


def sentence(time: TrainingTime, options: TrainParityOptions) -> str:
    """Says what will be trained, for how long, and what makes it shorter."""
    counts = seed_counts(options)
    noun = with_noun(time.cases, "case")
    longest = format_duration(time.high_s).removeprefix("about ")
    duration = f"{format_duration(time.low_s)} to {longest}" if time.low_s else f"up to {longest}"
    return (
        f"training parity: {counts[0]} to {counts[-1]} trainings of {options.steps:,} steps for "
        f"{noun} and as many in eager fp32: {duration}, without starts and tests (--train-steps, "
        f"--train-budget)"
    )
