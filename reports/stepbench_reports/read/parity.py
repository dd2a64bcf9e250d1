"""A case's parity, from the case's records in the run directory."""

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
"""The verdict on a case if its comparison did not finish."""


@dataclass(frozen=True)
class Parity:
    """A case's parity: if its tensors are within tolerance, and it trains to the same accuracy.

    Attributes:
        judged: The case's file in `parity/`; `None` if the tensors were not compared.
        trainings: The case's file in `train-parity/`; `None` if the case was not trained.
    """

    judged: ParityRecord | None = None
    trainings: TrainingParityRecord | None = None

    @property
    def verdict(self) -> str | None:
        """The verdict on the case's tensors, a `ParityVerdict`.

        `NOT_JUDGED` if the comparison did not finish, `None` if there was no comparison.
        """
        if self.judged is None:
            return None
        return NOT_JUDGED if self.judgement is None else self.judgement.verdict

    @property
    def reason(self) -> str | None:
        """One sentence, if the case's tensors do not pass; else `None`."""
        if self.judged is None:
            return None
        reason = None if self.judgement is None else self.judgement.reason
        return reason or self.judged.reason

    @property
    def judgement(self) -> Judgement | None:
        """The judgement of the case's tensors; `None` if there is none."""
        return None if self.judged is None else self.judged.judgement

    @property
    def judged_case(self) -> str:
        """The id of the case judged for all cases with the same numerics; empty if unknown."""
        return "" if self.judged is None else self.judged.judged_case

    @property
    def trained(self) -> str | None:
        """The verdict on the case's trainings, a `TrainingVerdict`.

        `NOT_JUDGED` if the trainings did not finish, `None` if there are no figures of trainings.
        """
        return None if self.training is None else self.training.verdict or NOT_JUDGED

    @property
    def trained_reason(self) -> str | None:
        """One sentence, if the case's trainings did not finish; else `None`."""
        return None if self.trainings is None else self.trainings.reason

    @property
    def training(self) -> TrainingFacts | None:
        """The trainings of the case and of the eager fp32 case; `None` if there are none."""
        return None if self.trainings is None else self.trainings.facts

    @property
    def axes(self) -> AxisValues:
        """The case's value on each axis, from the parity files; empty if there are none."""
        record = self.judged or self.trainings
        return {} if record is None else record.case.values()

    @property
    def compared(self) -> bool:
        """True if tensors or trainings of the case were compared."""
        return self.verdict is not None or self.trained is not None

    @property
    def failed(self) -> bool:
        """True if the case trains a different model: tensors fail, or accuracies differ."""
        return self.verdict == ParityVerdict.FAIL or self.trained == TrainingVerdict.DIFFERENT

    @property
    def unknown(self) -> bool:
        """True if the case was compared without a verdict, and is not `failed`."""
        unclear = {ParityVerdict.UNDECIDED, NOT_JUDGED, TrainingVerdict.INCONCLUSIVE}
        return not self.failed and (self.verdict in unclear or self.trained in unclear)

    @property
    def error(self) -> float:
        """The relative error of the tensor that comes closest to its tolerance; NaN if unknown.

        Infinity if that error is not finite.
        """
        decided = self.verdict in {ParityVerdict.PASS, ParityVerdict.FAIL}
        if self.judgement is None or not decided or not self.judgement.worst:
            return math.nan
        worst = self.judgement.worst
        return _error(max((worst[kind] for kind in TensorKind if kind in worst), key=_ratio))

    def error_of(self, kind: TensorKind) -> float:
        """The `error` among tensors of one kind, whatever the verdict; NaN if unknown."""
        worst = None if self.judgement is None else self.judgement.worst.get(kind)
        return math.nan if worst is None else _error(worst)

    @property
    def accuracy(self) -> float:
        """The case's mean test accuracy over the seeds; NaN if the case was not trained."""
        return math.nan if self.training is None else _mean(self.training.accuracies)

    @property
    def eager_fp32_accuracy(self) -> float:
        """The mean test accuracy of the eager fp32 case; NaN if that case was not trained."""
        return math.nan if self.training is None else _mean(self.training.eager_fp32_accuracies)

    @property
    def seeds(self) -> int:
        """The number of seeds that the case was trained with."""
        return 0 if self.training is None else len(self.training.accuracies)

    @property
    def difference(self) -> tuple[float, float, float]:
        """The mean accuracy minus that of the eager fp32 case, with its interval; NaN if unknown.

        The three numbers are the difference, and the interval's lower and upper end.
        """
        facts = self.training
        if facts is None:
            return math.nan, math.nan, math.nan
        return _or_nan(facts.difference), _or_nan(facts.low), _or_nan(facts.high)


UNKNOWN = Parity()
"""The parity of a case that was not compared."""


def _or_nan(number: float | None) -> float:
    return math.nan if number is None else number


def _error(tensor: TensorError) -> float:
    return math.inf if tensor.error is None else tensor.error


def _ratio(tensor: TensorError) -> float:
    allowed = tensor.allowed
    return math.inf if allowed is None or allowed <= 0 else _error(tensor) / allowed


def _mean(accuracies: Sequence[float | None]) -> float:
    finite = [accuracy for accuracy in accuracies if accuracy is not None]
    return math.fsum(finite) / len(finite) if finite else math.nan
