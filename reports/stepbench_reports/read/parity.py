"""A case's parity, as its records in the run directory tell it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from stepbench_reports.schema.axes import AxisValues
from stepbench_reports.schema.parity import (
    Judgement,
    ParityVerdict,
    TensorError,
    TensorKind,
    TrainingFacts,
    TrainingVerdict,
)
from stepbench_reports.schema.results import ParityRecord, TrainingParityRecord

NOT_JUDGED = "not judged"
"""Our word for a case whose judging came to no end."""


@dataclass(frozen=True)
class Parity:
    """Whether a case computes what it should, and trains to the same accuracy.

    Attributes:
        judged: The case's file in `parity/`; `None` where its tensors were not compared.
        trainings: The case's file in `train-parity/`; `None` where it was not trained.
    """

    judged: ParityRecord | None = None
    trainings: TrainingParityRecord | None = None

    @property
    def verdict(self) -> str | None:
        """The verdict on its tensors, a `ParityVerdict`.

        `NOT_JUDGED` where judging came to no end, `None` where they were not compared at all.
        """
        if self.judged is None:
            return None
        return NOT_JUDGED if self.judgement is None else self.judgement.verdict

    @property
    def reason(self) -> str | None:
        """One sentence, where its tensors do not pass."""
        if self.judged is None:
            return None
        reason = None if self.judgement is None else self.judgement.reason
        return reason or self.judged.reason

    @property
    def judgement(self) -> Judgement | None:
        """The judgement of its tensors; `None` where there is none."""
        return None if self.judged is None else self.judged.judgement

    @property
    def judged_as(self) -> str:
        """The id of the case that stands for all that compute the same; empty where unknown."""
        return "" if self.judged is None else self.judged.judged_as

    @property
    def trained(self) -> str | None:
        """The verdict on its trainings, a `TrainingVerdict`.

        `NOT_JUDGED` where these came to no end, `None` where there were none.
        """
        return None if self.training is None else self.training.verdict or NOT_JUDGED

    @property
    def trained_reason(self) -> str | None:
        """One sentence, where its trainings came to no end."""
        return None if self.trainings is None else self.trainings.reason

    @property
    def training(self) -> TrainingFacts | None:
        """Its trainings beside those of its twin; `None` where there are none."""
        return None if self.trainings is None else self.trainings.facts

    @property
    def axes(self) -> AxisValues:
        """The case's value on each axis, as these files have it; empty where there is none."""
        record = self.judged or self.trainings
        return {} if record is None else record.case.values()

    @property
    def known(self) -> bool:
        """True where anything was compared."""
        return self.verdict is not None or self.trained is not None

    @property
    def lost(self) -> bool:
        """True where it trains another model."""
        return self.verdict == ParityVerdict.FAIL or self.trained == TrainingVerdict.DIFFERENT

    @property
    def open(self) -> bool:
        """True where it was compared, and it is not known what it trains."""
        doubts = {ParityVerdict.UNDECIDED, NOT_JUDGED, TrainingVerdict.INCONCLUSIVE}
        return not self.lost and (self.verdict in doubts or self.trained in doubts)

    @property
    def error(self) -> float:
        """The relative error of the tensor that comes closest to its allowance; NaN if unknown.

        Infinity where one is not finite.
        """
        decided = self.verdict in {ParityVerdict.PASS, ParityVerdict.FAIL}
        if self.judgement is None or not decided or not self.judgement.worst:
            return math.nan
        worst = self.judgement.worst
        return _error(max((worst[kind] for kind in TensorKind if kind in worst), key=_ratio))

    def error_of(self, kind: TensorKind) -> float:
        """The same among the tensors of one kind."""
        worst = None if self.judgement is None else self.judgement.worst.get(kind)
        return math.nan if worst is None else _error(worst)

    @property
    def accuracy(self) -> float:
        """The mean test accuracy over the seeds; NaN where it was not trained."""
        return math.nan if self.training is None else _mean(self.training.accuracies)

    @property
    def twin_accuracy(self) -> float:
        """The mean test accuracy of its eager twin; NaN where that was not trained."""
        return math.nan if self.training is None else _mean(self.training.twin_accuracies)

    @property
    def seeds(self) -> int:
        """The number of seeds that were trained."""
        return 0 if self.training is None else len(self.training.accuracies)

    @property
    def difference(self) -> tuple[float, float, float]:
        """The difference in accuracy from the twin's, and its interval; NaN where unknown."""
        facts = self.training
        if facts is None:
            return math.nan, math.nan, math.nan
        return _known(facts.difference), _known(facts.low), _known(facts.high)


UNKNOWN = Parity()
"""Of a case that was not compared."""


def _known(number: float | None) -> float:
    return math.nan if number is None else number


def _error(tensor: TensorError) -> float:
    return math.inf if tensor.error is None else tensor.error


def _ratio(tensor: TensorError) -> float:
    allowed = tensor.allowed
    return math.inf if allowed is None or allowed <= 0 else _error(tensor) / allowed


def _mean(accuracies: Sequence[float | None]) -> float:
    finite = [accuracy for accuracy in accuracies if accuracy is not None]
    return math.fsum(finite) / len(finite) if finite else math.nan
