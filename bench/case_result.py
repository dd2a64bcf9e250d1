"""What became of a case in one of its passes, as the run directory keeps it. Knows no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from bench.case import Case
from bench.child import Outcome, Status

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """A case, and how a pass over it ended. `docs/run-directory.md` describes the files.

    Attributes:
        case: The case.
        status: How it ended.
        reason: One sentence, where it did not end well.
        detail: A traceback, where there is one.
        axis: Of an unsupported case, the axis whose value cannot be had.
    """

    case: Case
    status: Status
    reason: str | None = None
    detail: str | None = None
    axis: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The case's file."""
        return {
            "schema": SCHEMA,
            "id": self.case.id,
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "case": self.case.values(),
            "status": str(self.status),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """From its file.

        Raises:
            KeyError, TypeError, ValueError: The content is none of this schema.
        """
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}, not {SCHEMA}")
        told = {each.name: content[each.name] for each in fields(cls)}
        told |= {"case": Case(**content["case"]), "status": Status(content["status"])}
        return cls(**told)


def ending(case: Case, outcome: Outcome) -> dict[str, Any]:
    """The fields of a `CaseResult` that a child's outcome gives."""
    return {
        "case": case,
        "status": outcome.status,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "axis": outcome.axis,
    }
