"""Tests if two ways of training reach the same accuracy, adding seeds until the test decides.

Two one-sided tests show equivalence (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics
15, 1987): the confidence interval of the mean difference lies within the margin. The trainings of a
pair share their seed, and so their weights and batches. By default the difference is tested after
3, 6 and 12 seeds. Each test has a third of the chance of error (Bonferroni), which keeps the
confidence over all tests.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stepbench_reports.analysis.stats import UNKNOWN, Interval, mean_interval
from stepbench_reports.schema.parity import TrainingFacts, TrainingVerdict, TrainParityOptions

MAX_ERROR = 0.05
"""The largest chance of a wrong verdict, `equivalent` or `different`."""


@dataclass(frozen=True)
class AccuracyComparison:
    """The comparison of some pairs of trainings.

    Attributes:
        verdict: The verdict so far.
        difference: The mean accuracy of the case minus that of the eager fp32 case, with a
            confidence interval.
        confidence: The two-sided confidence of the interval.
        margin: The largest difference that counts as equivalent.
    """

    verdict: TrainingVerdict
    difference: Interval
    confidence: float
    margin: float


def seed_counts(options: TrainParityOptions) -> tuple[int, ...]:
    """The numbers of seeds at which a test takes place: the minimum, doubled up to the maximum."""
    points = [options.min_seeds]
    while points[-1] * 2 <= options.max_seeds:
        points.append(points[-1] * 2)
    return tuple(points)


def compare(
    case: Sequence[float], eager_fp32: Sequence[float], options: TrainParityOptions
) -> AccuracyComparison:
    """Compares pairs of accuracies.

    Args:
        case: The case's accuracies, one for each seed.
        eager_fp32: The accuracies of the eager fp32 case, for the same seeds.
        options: The margin and the numbers of seeds.
    """
    # Each of the two one-sided tests may err with probability `MAX_ERROR`, over all seed counts.
    margin, confidence = options.margin, 1 - 2 * MAX_ERROR / len(seed_counts(options))
    verdict = TrainingVerdict.INCONCLUSIVE
    if not all(map(math.isfinite, (*case, *eager_fp32))):
        if all(map(math.isfinite, eager_fp32)):  # only the case has diverged
            verdict = TrainingVerdict.DIFFERENT
        return AccuracyComparison(verdict, UNKNOWN, confidence, margin)
    differences = [accuracy - eager for accuracy, eager in zip(case, eager_fp32, strict=True)]
    interval = mean_interval(differences, confidence)
    if -margin < interval.low and interval.high < margin:
        verdict = TrainingVerdict.EQUIVALENT
    elif interval.low > margin or interval.high < -margin:
        verdict = TrainingVerdict.DIFFERENT
    return AccuracyComparison(verdict, interval, confidence, margin)


def decide(
    train: Callable[[int], tuple[float, float] | None], options: TrainParityOptions
) -> tuple[list[float], list[float], AccuracyComparison | None]:
    """Trains pairs until the verdict is clear, or seeds or time are used up.

    Args:
        train: Trains a pair, given the pair's number from 0, and returns the accuracies of the
            case and of the eager fp32 case; `None` if no time is left.
        options: The margin and the numbers of seeds.

    Returns:
        The accuracies of the case, those of the eager fp32 case, and their comparison; the
        comparison is `None` if there were too few seeds.
    """
    case: list[float] = []
    eager_fp32: list[float] = []
    comparison: AccuracyComparison | None = None
    for seeds in seed_counts(options):
        while len(case) < seeds:
            accuracies = train(len(case))
            if accuracies is None:
                return case, eager_fp32, comparison
            case.append(accuracies[0])
            eager_fp32.append(accuracies[1])
        comparison = compare(case, eager_fp32, options)
        if comparison.verdict is not TrainingVerdict.INCONCLUSIVE:
            break
    return case, eager_fp32, comparison


def difference_sentence(facts: TrainingFacts) -> str:
    """A sentence with the difference of the accuracies, in percentage points."""
    if None in (*facts.accuracies, *facts.eager_fp32_accuracies):
        return "the metric of a trained model is not finite"
    if facts.difference is None or facts.low is None or facts.high is None:
        return "too few trainings finished within --train-budget; raise it"
    seeds = len(facts.accuracies)
    return (
        f"test accuracy less the eager fp32 case's: {facts.difference * 100:+.2f} percentage "
        f"points ({facts.low * 100:+.2f} to {facts.high * 100:+.2f}, {seeds} seeds); "
        f"\N{PLUS-MINUS SIGN}{facts.options.margin * 100:g} is allowed"
    )
