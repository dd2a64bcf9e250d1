"""The judgement of a case's parity, as its file in the run directory has it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ParityVerdict(StrEnum):
    """A verdict on whether a case trains as it should."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    UNDECIDED = "undecided"
    """Neither can be told, for the reason that is given."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A judgement of a case's parity. The fields are those of `docs/run-directory.md`.

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

    verdict: ParityVerdict
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


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes:
        accuracy: The metric over the test data, per sample: the share of right answers; the mean
            of several tests in the last part of training.
        samples: How many test samples there are.
        loss: Of the last step.
    """

    accuracy: float
    samples: int
    loss: float
