"""Do two ways of training come to the same accuracy? Seeds are added until that is decided.

Equivalence is shown by two one-sided tests (Schuirmann, Journal of Pharmacokinetics and
Biopharmaceutics 15, 1987): the interval of the mean difference lies within the margin. The pairs
share their seed, and with it weights and batches. It is looked at after 3, 6 and 12 seeds, each
time with a third of the chance of error (Bonferroni), so that looking again costs no certainty.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.request import TrainParity
from reports.stats import UNKNOWN, Interval, mean_interval

ERROR = 0.05
"""The chance of calling equivalent what is not, or different what is not, at most."""


class Equivalence(StrEnum):
    """What was come to."""

    EQUIVALENT = "equivalent"
    DIFFERENT = "different"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Comparison:
    """What some pairs of trainings say.

    Attributes:
        verdict: The answer so far.
        difference: The mean difference of accuracies, case less twin, with its interval.
        confidence: That of the interval, two-sided.
        margin: Within which a difference counts as none.
    """

    verdict: Equivalence
    difference: Interval
    confidence: float
    margin: float


def looks(asked: TrainParity) -> tuple[int, ...]:
    """After how many seeds it is looked: the least, and twice as many, until the most."""
    found = [asked.least_seeds]
    while found[-1] * 2 <= asked.most_seeds:
        found.append(found[-1] * 2)
    return tuple(found)


def compare(case: Sequence[float], twin: Sequence[float], asked: TrainParity) -> Comparison:
    """What pairs of accuracies say.

    Args:
        case: The case's, one for each seed.
        twin: Its eager twin's, for the same seeds.
        asked: The margin, and how often it is looked.
    """
    # Each of the two one-sided tests has the whole chance of error, shared among the looks.
    confidence = 1 - 2 * ERROR / len(looks(asked))
    if not all(map(math.isfinite, (*case, *twin))):
        fell = all(map(math.isfinite, twin))  # it alone came to nothing
        verdict = Equivalence.DIFFERENT if fell else Equivalence.INCONCLUSIVE
        return Comparison(verdict, UNKNOWN, confidence, asked.margin)
    differences = [mine - other for mine, other in zip(case, twin, strict=True)]
    found = mean_interval(differences, confidence)
    margin = asked.margin
    verdict = Equivalence.INCONCLUSIVE
    if -margin < found.low and found.high < margin:
        verdict = Equivalence.EQUIVALENT
    elif found.low > margin or found.high < -margin:
        verdict = Equivalence.DIFFERENT
    return Comparison(verdict, found, confidence, margin)


def decide(
    train: Callable[[int], tuple[float, float] | None], asked: TrainParity
) -> tuple[list[float], list[float], Comparison | None]:
    """Trains pairs until it is decided, the seeds are used up or there is no more time.

    Args:
        train: Trains a pair with a seed and gives the accuracies of case and twin; `None` where
            there is no time left for it.
        asked: How many seeds, and the margin.

    Returns:
        The accuracies of the case and of its twin, and what they say; `None` where there were too
        few to say anything.
    """
    case: list[float] = []
    twin: list[float] = []
    found: Comparison | None = None
    for until in looks(asked):
        while len(case) < until:
            pair = train(len(case))
            if pair is None:
                # Looked at once more than planned, at the same confidence: never decided thereby.
                return case, twin, found
            case.append(pair[0])
            twin.append(pair[1])
        found = compare(case, twin, asked)
        if found.verdict is not Equivalence.INCONCLUSIVE:
            break
    return case, twin, found
