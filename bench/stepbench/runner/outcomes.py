"""Turns the outcome of a child process into the record that the run directory keeps."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from stepbench.config.case import Case
from stepbench.process.job import Outcome
from stepbench_reports.schema.compilation import ColdStart
from stepbench_reports.schema.files import DamageError, encode
from stepbench_reports.schema.measurement import Findings
from stepbench_reports.schema.parity import Judgement, TrainingFacts
from stepbench_reports.schema.profile import ProfileFindings
from stepbench_reports.schema.record import Record
from stepbench_reports.schema.results import (
    MeasurementRecord,
    ParityRecord,
    ProfileRecord,
    TrainingParityRecord,
)
from stepbench_reports.schema.status import Status


def case_measurement(
    case: Case, outcome: Outcome, cold: ColdStart | None = None
) -> MeasurementRecord:
    """Makes a case's measurement.

    Args:
        case: The case.
        outcome: The outcome of the case's process.
        cold: The cost of the case's first compilation, in an earlier process.
    """
    outcome = _storable(outcome)
    findings = outcome.result if isinstance(outcome.result, Findings) else None
    if findings is not None and findings.compile is not None:
        findings = replace(findings, compile=replace(findings.compile, cold=cold))
    return MeasurementRecord(
        **_case_fields(case, outcome),
        start_s=outcome.start_s,
        elapsed_s=outcome.elapsed_s,
        ended=datetime.now(UTC).replace(microsecond=0),
        findings=findings,
    )


def parity_record(case: Case, outcome: Outcome) -> ParityRecord:
    """Makes the record of comparing a case's tensors."""
    outcome = _storable(outcome)
    return ParityRecord(
        **_case_fields(case, outcome),
        judged_case=case.numerics_key.id,
        elapsed_s=outcome.elapsed_s,
        judgement=outcome.result if isinstance(outcome.result, Judgement) else None,
    )


def failed_training(case: Case, outcome: Outcome, facts: TrainingFacts) -> TrainingParityRecord:
    """Makes the training parity record of a case for which a training failed."""
    return TrainingParityRecord(**_case_fields(case, outcome), facts=facts)


def profile_record(case: Case, outcome: Outcome) -> ProfileRecord:
    """Makes the record of profiling a case."""
    outcome = _storable(outcome)
    return ProfileRecord(
        **_case_fields(case, outcome),
        elapsed_s=outcome.elapsed_s,
        profile=outcome.result if isinstance(outcome.result, ProfileFindings) else None,
    )


def _case_fields(case: Case, outcome: Outcome) -> dict[str, Any]:
    """The fields that all records of a case have."""
    return {
        "id": case.id,
        "case": case,
        "status": outcome.status,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "axis": outcome.axis,
    }


def _storable(outcome: Outcome) -> Outcome:
    """The outcome; replaced by a failure if a figure is not finite, and so cannot be stored."""
    if not isinstance(outcome.result, Record):
        return outcome
    try:
        encode(outcome.result)
    except DamageError as damage:
        reason = f"its results cannot be stored ({damage.fault})"
        return dataclasses.replace(outcome, status=Status.ERROR, result=None, reason=reason)
    return outcome
