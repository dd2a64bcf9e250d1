"""A measurement: all that one case gave, as it is kept in the run directory.

`docs/run-directory.md` describes the file; `SCHEMA` is raised when its meaning changes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.case import Case
from bench.child import Outcome, Status

SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class Block:
    """A stretch of steps measured together.

    Attributes:
        kind: `lapped` (a lap at each phase boundary) or `bare` (the plain loop).
        steps: How many training steps.
        elapsed_s: From before the first to after the last, all device work done.
    """

    kind: str
    steps: int
    elapsed_s: float


@dataclass(frozen=True)
class ColdStart:
    """A first compilation, with an empty cache. Seconds.

    Attributes:
        compile_s: What torch itself says that compiling took.
        first_step_s: The whole first step.
    """

    compile_s: float
    first_step_s: float


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a child found out about its case. Times in seconds, sizes in bytes.

    The fields are those of `docs/run-directory.md`.
    """

    data: Mapping[str, Any]
    model: Mapping[str, Any]
    settings: Mapping[str, Any]
    clock: Mapping[str, Any]
    phases: tuple[str, ...]
    laps: Mapping[str, Mapping[str, list[float]] | None]
    micro_laps: Mapping[str, list[list[float]]] | None
    blocks: tuple[Block, ...]
    sampling: Mapping[str, Any]
    noise: Mapping[str, Any]
    warmup: Mapping[str, Any]
    first_step_s: float
    loader: Mapping[str, Any]
    compile: Mapping[str, Any] | None
    memory: Mapping[str, Any]
    work: Mapping[str, Any]
    fixed: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A case, what became of it, and what was found out."""

    case: Case
    status: Status
    reason: str | None = None
    detail: str | None = None
    axis: str | None = None
    start_s: float | None = None
    elapsed_s: float = 0.0
    findings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, case: Case, outcome: Outcome, cold: ColdStart | None = None) -> "Measurement":
        """What a child's outcome says of its case.

        Args:
            case: The case.
            outcome: What became of its process.
            cold: What its first compilation cost, in a process before.
        """
        findings = asdict(outcome.result) if isinstance(outcome.result, Findings) else {}
        if findings.get("compile") is not None:
            findings["compile"]["cold"] = None if cold is None else asdict(cold)
        return cls(
            case=case,
            status=outcome.status,
            reason=outcome.reason,
            detail=outcome.detail,
            axis=outcome.axis,
            start_s=outcome.start_s,
            elapsed_s=outcome.elapsed_s,
            findings=findings,
        )

    @property
    def laps(self) -> dict[str, list[float]]:
        """The laps by the clock that tells how long the work took: the device's, if it has one."""
        laps: Mapping[str, Any] = self.findings.get("laps") or {}
        return dict(laps.get("device") or laps.get("host") or {})

    def to_json(self) -> dict[str, Any]:
        """The case's file."""
        empty = dict.fromkeys(Findings.__dataclass_fields__)
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
            **empty,
            **self.findings,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Measurement":
        """A measurement from its file.

        Raises:
            KeyError, TypeError, ValueError: The content is not a measurement of this schema.
        """
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']}, not {SCHEMA}")
        known = {"status", "reason", "detail", "axis", "start_s", "elapsed_s"}
        return cls(
            case=Case(**content["case"]),
            findings={name: content[name] for name in Findings.__dataclass_fields__},
            **{name: content[name] for name in known - {"status"}},
            status=Status(content["status"]),
        )
