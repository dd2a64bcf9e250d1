"""A case's parity, as its files in the run directory tell it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stepbench_reports.schema.parity import ParityVerdict

EQUIVALENT, DIFFERENT, INCONCLUSIVE, TWIN = "equivalent", "different", "inconclusive", "twin"
"""Verdicts on the trainings; the last is what others are compared with."""
NOT_JUDGED = "not judged"
KINDS = ("output", "loss", "gradient", "parameter", "buffer")
"""Kinds of tensors, in the order in which a step computes them."""


@dataclass(frozen=True)
class Parity:
    """Whether a case computes what it should, and trains to the same accuracy.

    Attributes:
        verdict: Of its tensors, a `ParityVerdict`; `NOT_JUDGED` where judging came to no end,
            `None` where they were not compared at all.
        reason: One sentence, where it does not pass.
        judgement: The file's `judgement`.
        judged_as: The id of the case that stands for all that compute the same.
        trained: The verdict of its trainings; likewise.
        trained_reason: One sentence, where these came to no end.
        training: The file's `facts`.
        axes: The case's value on each axis, as these files have it.
    """

    verdict: str | None = None
    reason: str | None = None
    judgement: Mapping[str, Any] = field(default_factory=dict)
    judged_as: str = ""
    trained: str | None = None
    trained_reason: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether anything was compared."""
        return self.verdict is not None or self.trained is not None

    @property
    def lost(self) -> bool:
        """Whether it trains another model."""
        return self.verdict == ParityVerdict.FAIL or self.trained == DIFFERENT

    @property
    def open(self) -> bool:
        """Whether it was compared, and it is not known what it trains."""
        doubts = {ParityVerdict.UNDECIDED, NOT_JUDGED, INCONCLUSIVE}
        return not self.lost and (self.verdict in doubts or self.trained in doubts)

    def worst(self, kind: str) -> Mapping[str, Any]:
        """The tensor of a kind that comes closest to its allowance; empty where there is none."""
        found = self.judgement.get("worst")
        entry = found.get(kind) if isinstance(found, Mapping) else None
        return entry if isinstance(entry, Mapping) else {}

    @property
    def error(self) -> float:
        """The relative error of the tensor that comes closest to its allowance; NaN if unknown.

        Infinity where one is not finite.
        """
        if self.verdict not in {ParityVerdict.PASS, ParityVerdict.FAIL} or not self.judgement.get(
            "worst"
        ):
            return math.nan
        entries = [entry for kind in KINDS if (entry := self.worst(kind))]
        return _error(max(entries, key=_ratio)) if entries else math.nan

    def error_of(self, kind: str) -> float:
        """The same among the tensors of one kind."""
        entry = self.worst(kind)
        return _error(entry) if entry else math.nan

    @property
    def accuracy(self) -> float:
        """The mean test accuracy over the seeds; NaN where it was not trained."""
        return _mean(self.training.get("accuracies"))

    @property
    def twin_accuracy(self) -> float:
        """The same of its eager twin."""
        return _mean(self.training.get("twin_accuracies"))

    @property
    def seeds(self) -> int:
        """How many seeds were trained."""
        found = self.training.get("accuracies")
        return len(found) if isinstance(found, list) else 0

    @property
    def difference(self) -> tuple[float, float, float]:
        """The difference in accuracy from the twin's, and its interval; NaN where unknown."""
        found = [self.training.get(name) for name in ("difference", "low", "high")]
        numbers = [float(x) if isinstance(x, (int, float)) else math.nan for x in found]
        return numbers[0], numbers[1], numbers[2]


UNKNOWN = Parity()
"""Of a case that was not compared."""


def _error(entry: Mapping[str, Any]) -> float:
    error = entry.get("error")
    return float(error) if isinstance(error, (int, float)) else math.inf


def _ratio(entry: Mapping[str, Any]) -> float:
    allowed = entry.get("allowed")
    usable = isinstance(allowed, (int, float)) and allowed > 0
    return _error(entry) / float(allowed) if usable and allowed is not None else math.inf


def _mean(found: object) -> float:
    numbers = [x for x in found if isinstance(x, (int, float))] if isinstance(found, list) else []
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


def read(judged: Mapping[str, Any] | None, trained: Mapping[str, Any] | None) -> Parity:
    """A case's parity from its files.

    Args:
        judged: The content of `parity/<id>.json`; `None` where there is none.
        trained: And that of `train-parity/<id>.json`.
    """
    found = (judged or trained or {}).get("case")
    told: dict[str, Any] = {"axes": found if isinstance(found, Mapping) else {}}
    if judged is not None:
        judgement = judged.get("judgement")
        content = judgement if isinstance(judgement, Mapping) else {}
        told |= {
            "verdict": str(content.get("verdict") or NOT_JUDGED),
            "reason": content.get("reason") or judged.get("reason"),
            "judgement": content,
            "judged_as": str(judged.get("judged_as") or ""),
        }
    if trained is not None:
        facts = trained.get("facts")
        content = facts if isinstance(facts, Mapping) else {}
        told |= {
            "trained": str(content.get("verdict") or NOT_JUDGED),
            "trained_reason": trained.get("reason"),
            "training": content,
        }
    return Parity(**told)
