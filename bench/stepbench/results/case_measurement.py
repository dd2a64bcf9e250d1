"""A case's measurement, as its file in the run directory holds it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from stepbench.config.case import Case
from stepbench.results.case_result import CaseResult
from stepbench_reports.schema.measurement import SCHEMA, Findings
from stepbench_reports.schema.status import Status

_FINDINGS = tuple(Findings.__dataclass_fields__)


@dataclass(frozen=True, kw_only=True)
class CaseMeasurement(CaseResult):
    """A case, how its measurement ended, and the figures that were taken.

    Attributes:
        start_s: Seconds from asking for the process to its first message; `None` where there was
            none.
        elapsed_s: Seconds from asking for the process to its end.
        findings: The fields of `stepbench_reports.schema.measurement.Findings`; empty where the
            measurement failed.
    """

    start_s: float | None = None
    elapsed_s: float = 0.0
    findings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def laps(self) -> dict[str, list[float]]:
        """Seconds of each lap by phase, by the device's clock or, without one, by the host's."""
        laps: Mapping[str, Any] = self.findings.get("laps") or {}
        return dict(laps.get("device") or laps.get("host") or {})

    def to_json(self) -> dict[str, Any]:
        """The content of the case's file."""
        return {
            "schema": SCHEMA,
            "id": self.case.id,
            "case": self.case.values(),
            "status": str(self.status),
            "reason": self.reason,
            "detail": self.detail,
            "axis": self.axis,
            "start_s": self.start_s,
            "elapsed_s": self.elapsed_s,
            **dict.fromkeys(_FINDINGS),
            **self.findings,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Reads the content of a case's file.

        Raises:
            KeyError, TypeError, ValueError: The content is no measurement of this schema.
        """
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}, not {SCHEMA}")
        return cls(
            case=Case(**content["case"]),
            status=Status(content["status"]),
            reason=content["reason"],
            detail=content["detail"],
            axis=content["axis"],
            start_s=content["start_s"],
            elapsed_s=content["elapsed_s"],
            findings={name: content[name] for name in _FINDINGS},
        )
