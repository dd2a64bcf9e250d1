"""What was found of a case's parity, as it is kept in the run directory. Knows no torch.

`docs/run-directory.md` describes the files.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

from bench.case import Case
from bench.child import Outcome, Status

SCHEMA = 1


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
class Judged:
    """A case, whether its judging came to an end, and what it came to.

    Attributes:
        case: The case.
        judged_as: The id of the case that stands for all that compute the same.
        status: How the child ended that judged it.
        reason: One sentence, where it did not end well.
        detail: A traceback, where there is one.
        axis: Of an unsupported case, the axis whose value cannot be had.
        elapsed_s: Seconds that it took, its process's start included.
        judgement: The judgement, where there is one.
    """

    case: Case
    judged_as: str
    status: Status
    reason: str | None = None
    detail: str | None = None
    axis: str | None = None
    elapsed_s: float = 0.0
    judgement: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, case: Case, outcome: Outcome) -> Self:
        """What a child's outcome says of a case."""
        found = outcome.result
        return cls(
            case=case,
            judged_as=case.arithmetic.id,
            status=outcome.status,
            reason=outcome.reason,
            detail=outcome.detail,
            axis=outcome.axis,
            elapsed_s=outcome.elapsed_s,
            judgement=asdict(found) if isinstance(found, Judgement) else None,
        )

    @property
    def verdict(self) -> Verdict | None:
        """The verdict; `None` where none was come to."""
        return None if self.judgement is None else Verdict(self.judgement["verdict"])

    def to_json(self) -> dict[str, Any]:
        """The case's file."""
        return _to_json(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """From its file.

        Raises:
            KeyError, TypeError, ValueError: The content is none of this schema.
        """
        return cls(**_from_json(content, [each.name for each in fields(cls)]))


@dataclass(frozen=True, kw_only=True)
class TrainJudged:
    """A case, and what its trainings came to beside those of its eager twin.

    Attributes:
        case: The case.
        status: How the trainings ended.
        reason: One sentence, where one did not end well.
        detail: A traceback, where there is one.
        axis: Of an unsupported case, the axis whose value cannot be had.
        facts: What was found; see `docs/run-directory.md`.
    """

    case: Case
    status: Status
    reason: str | None = None
    detail: str | None = None
    axis: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def failed(cls, case: Case, outcome: Outcome, facts: Mapping[str, Any]) -> Self:
        """A case one of whose trainings came to no end."""
        return cls(
            case=case,
            status=outcome.status,
            reason=outcome.reason,
            detail=outcome.detail,
            axis=outcome.axis,
            facts=facts,
        )

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

    def to_json(self) -> dict[str, Any]:
        """The case's file."""
        return _to_json(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """From its file.

        Raises:
            KeyError, TypeError, ValueError: The content is none of this schema.
        """
        return cls(**_from_json(content, [each.name for each in fields(cls)]))


def _to_json(told: Judged | TrainJudged) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "id": told.case.id,
        **{each.name: getattr(told, each.name) for each in fields(told)},
        "case": told.case.values(),
        "status": str(told.status),
    }


def _from_json(content: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    if content["schema"] != SCHEMA:
        raise ValueError(f"schema {content['schema']}, not {SCHEMA}")
    told = {name: content[name] for name in names}
    return {**told, "case": Case(**content["case"]), "status": Status(content["status"])}
