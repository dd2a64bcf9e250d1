"""The results of the other passes over a case: parity, training parity, profile."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from stepbench.config.case import Case
from stepbench_reports.schema.parity import ParityVerdict
from stepbench_reports.schema.status import Status

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """A case, and how a pass over it ended. `docs/run-directory.md` describes the files.

    Attributes:
        case: The case.
        status: The way in which the pass ended.
        reason: One sentence, where the pass failed.
        detail: A traceback, where there is one.
        axis: The axis whose value this machine does not support, where the case is unsupported.
    """

    case: Case
    status: Status
    reason: str | None = None
    detail: str | None = None
    axis: str | None = None

    @property
    def is_final(self) -> bool:
        """True where a resumed run need not repeat the pass."""
        return self.status in {Status.OK, Status.UNSUPPORTED}

    def to_json(self) -> dict[str, Any]:
        """The content of the result's file."""
        return {
            "schema": SCHEMA,
            "id": self.case.id,
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "case": self.case.values(),
            "status": str(self.status),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Reads the content of a result's file.

        Raises:
            KeyError, TypeError, ValueError: The content is no result of this schema.
        """
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}, not {SCHEMA}")
        values = {each.name: content[each.name] for each in fields(cls)}
        values |= {"case": Case(**content["case"]), "status": Status(content["status"])}
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class ParityResult(CaseResult):
    """A case, and the comparison of its tensors with the reference.

    Attributes:
        judged_as: The id of the case that stands for all cases with the same numerics.
        elapsed_s: Seconds that the comparison took, with the start of its process.
        judgement: The fields of `stepbench_reports.schema.parity.Judgement`, where there is one.
    """

    judged_as: str
    elapsed_s: float = 0.0
    judgement: Mapping[str, Any] | None = None

    @property
    def verdict(self) -> ParityVerdict | None:
        """The verdict; `None` where the comparison failed."""
        return None if self.judgement is None else ParityVerdict(self.judgement["verdict"])


@dataclass(frozen=True, kw_only=True)
class TrainingParityResult(CaseResult):
    """A case, and the comparison of its trainings with those of its eager twin.

    Attributes:
        facts: Accuracies, their difference and the verdict; see `docs/run-directory.md`.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str | None:
        """`equivalent`, `different`, `inconclusive`; `twin` of a case that is its own twin."""
        verdict: str | None = self.facts.get("verdict")
        return verdict

    @property
    def sentence(self) -> str:
        """A sentence with the difference of the accuracies, in percentage points."""
        facts = self.facts
        if None in (*facts["accuracies"], *facts["twin_accuracies"]):
            return "the metric of a trained model is not finite"
        if facts.get("low") is None or facts.get("high") is None:
            return "too few trainings came to an end within --train-budget; give it more"
        margin = facts["asked"]["margin"] * 100
        return (
            f"test accuracy differs by {facts['difference'] * 100:+.2f} percentage points "
            f"({facts['low'] * 100:+.2f} to {facts['high'] * 100:+.2f}) from its eager twin's "
            f"over {len(facts['accuracies'])} seeds; {margin:g} are allowed"
        )


@dataclass(frozen=True, kw_only=True)
class ProfileResult(CaseResult):
    """A case, and its profile.

    Attributes:
        elapsed_s: Seconds that profiling took, with the start of its process.
        profile: The fields of `stepbench_reports.schema.profile.ProfileFindings`; `None` where
            profiling failed.
    """

    elapsed_s: float = 0.0
    profile: Mapping[str, Any] | None = None
