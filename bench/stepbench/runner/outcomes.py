"""Turns the outcome of a child process into the record that the run directory keeps."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from stepbench.config.case import Case
from stepbench.process.job import Outcome
from stepbench.results.case_measurement import CaseMeasurement
from stepbench.results.case_result import ParityResult, ProfileResult, TrainingParityResult
from stepbench_reports.schema.measurement import ColdStart, Findings
from stepbench_reports.schema.parity import Judgement
from stepbench_reports.schema.profile import ProfileFindings


def case_measurement(
    case: Case, outcome: Outcome, cold: ColdStart | None = None
) -> CaseMeasurement:
    """Makes a case's measurement.

    Args:
        case: The case.
        outcome: The outcome of its process.
        cold: The cost of its first compilation, in an earlier process.
    """
    findings = asdict(outcome.result) if isinstance(outcome.result, Findings) else {}
    if findings.get("compile") is not None:
        findings["compile"]["cold"] = None if cold is None else asdict(cold)
    return CaseMeasurement(
        **_ending(case, outcome),
        start_s=outcome.start_s,
        elapsed_s=outcome.elapsed_s,
        findings=findings,
    )


def parity_result(case: Case, outcome: Outcome) -> ParityResult:
    """Makes the result of comparing a case's tensors."""
    judgement = outcome.result
    return ParityResult(
        **_ending(case, outcome),
        judged_as=case.numerics_key.id,
        elapsed_s=outcome.elapsed_s,
        judgement=asdict(judgement) if isinstance(judgement, Judgement) else None,
    )


def failed_training(case: Case, outcome: Outcome, facts: Mapping[str, Any]) -> TrainingParityResult:
    """Makes the training parity of a case one of whose trainings failed."""
    return TrainingParityResult(**_ending(case, outcome), facts=facts)


def profile_result(case: Case, outcome: Outcome) -> ProfileResult:
    """Makes the result of profiling a case."""
    profile = outcome.result
    return ProfileResult(
        **_ending(case, outcome),
        elapsed_s=outcome.elapsed_s,
        profile=asdict(profile) if isinstance(profile, ProfileFindings) else None,
    )


def _ending(case: Case, outcome: Outcome) -> dict[str, Any]:
    """The fields that all records have in common."""
    return {
        "case": case,
        "status": outcome.status,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "axis": outcome.axis,
    }
