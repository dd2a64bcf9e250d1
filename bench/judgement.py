"""What was found of a case's parity, as it is kept in the run directory. Knows no torch.

`docs/run-directory.md` describes the files.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from bench.case import Case
from bench.case_result import CaseResult, ending
from bench.child import Outcome


class Verdict(StrEnum):
    """Whether a case trains as it should."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    UNDECIDED = "undecided"
    """It cannot be told, for the reason that is given."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Whether a case computes what it should. The fields are those of `docs/run-directory.md`.

    Attributes:
        verdict: The answer.
        reason: One sentence, where it does not pass.
        reference: How far the trajectories went that were compared.
        random: The operators that draw random numbers.
        rule: What is allowed: a multiple of eager's own error, and a floor.
        worst: By kind of tensor, that which comes closest to its allowance or is furthest off.
        first: The first tensor that departs, in the order of computing.
        departed: How many do.
        compared: Of how many.
        starts: From how many starts the case was run: more than one where a departure was looked at
            again, and then errors are the smallest of all.
        blame: For a compiled case that fails, what it does if compiled in another way (`off`, or
            `backend:aot_eager`): `departs`, `agrees`, or why it failed.
        reload: Whether the saved and reloaded model gives the same outputs.
        elapsed_s: Seconds that judging took, compilation included.
    """

    verdict: Verdict
    reason: str | None = None
    reference: Mapping[str, Any]
    random: tuple[str, ...]
    rule: Mapping[str, float]
    worst: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    first: Mapping[str, Any] | None = None
    departed: int = 0
    compared: int = 0
    starts: int = 1
    blame: Mapping[str, Any] | None = None
    reload: Mapping[str, Any] | None = None
    elapsed_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Judged(CaseResult):
    """A case, and what comparing its tensors came to.

    Attributes:
        judged_as: The id of the case that stands for all that compute the same.
        elapsed_s: Seconds that it took, its process's start included.
        judgement: The judgement, where there is one.
    """

    judged_as: str
    elapsed_s: float = 0.0
    judgement: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, case: Case, outcome: Outcome) -> Self:
        """What a child's outcome says of a case."""
        found = outcome.result
        return cls(
            **ending(case, outcome),
            judged_as=case.arithmetic.id,
            elapsed_s=outcome.elapsed_s,
            judgement=asdict(found) if isinstance(found, Judgement) else None,
        )

    @property
    def verdict(self) -> Verdict | None:
        """The verdict; `None` where none was come to."""
        return None if self.judgement is None else Verdict(self.judgement["verdict"])


@dataclass(frozen=True, kw_only=True)
class TrainJudged(CaseResult):
    """A case, and what its trainings came to beside those of its eager twin.

    Attributes:
        facts: What was found; see `docs/run-directory.md`.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def failed(cls, case: Case, outcome: Outcome, facts: Mapping[str, Any]) -> Self:
        """A case one of whose trainings came to no end."""
        return cls(**ending(case, outcome), facts=facts)

    @property
    def verdict(self) -> str | None:
        """`equivalent`, `different` or `inconclusive`; `twin` for what others are compared with."""
        verdict: str | None = self.facts.get("verdict")
        return verdict

    @property
    def sentence(self) -> str:
        """How far the accuracies are apart, in percentage points."""
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
