"""The records of a case in a run directory: a file for each pass over the case.

| file | record |
| --- | --- |
| `cases/<id>.json` | `MeasurementRecord` |
| `parity/<id>.json` | `ParityRecord` |
| `train-parity/<id>.json` | `TrainingParityRecord` |
| `profiles/<id>.json` | `ProfileRecord` |
"""

from msgspec import field

from stepbench_reports.schema import measurement, parity
from stepbench_reports.schema.axes import Axes
from stepbench_reports.schema.measurement import Findings
from stepbench_reports.schema.names import CaseId
from stepbench_reports.schema.parity import Judgement, TrainingFacts
from stepbench_reports.schema.profile import ProfileFindings
from stepbench_reports.schema.record import Moment, Record, Seconds
from stepbench_reports.schema.status import Status
from stepbench_reports.schema.stop_reason import StopReason


class CaseRecord(Record, frozen=True, kw_only=True):
    """A case, and the outcome of a pass over the case.

    Attributes:
        schema: The version of the file's format.
        id: The case's id.
        case: The case's value on each axis.
        status: The status with which the pass ended.
        reason: The reason and the remedy in one sentence; `None` if the status is `ok`.
        detail: The traceback, or the end of the process's output; `None` if there is neither.
        axis: The axis whose value this machine does not support, if the status is `unsupported`.
    """

    schema: int
    id: CaseId
    case: Axes
    status: Status
    reason: str | None = None
    detail: str | None = None
    axis: str | None = None

    @property
    def is_final(self) -> bool:
        """True if a resumed run need not repeat the pass."""
        return self.status in {Status.OK, Status.UNSUPPORTED}


class MeasurementRecord(CaseRecord, frozen=True, kw_only=True):
    """`cases/<id>.json`: the measurement of a case.

    In the file, the fields of `findings` are on the top level, `null` if the status is not `ok`.

    Attributes:
        start_s: The time from requesting the case's process to its first message, seconds; `None`
            if there was no message.
        elapsed_s: The time from requesting the case's process to its end, seconds.
        left_behind: The processes that the case had started in sessions or process groups of their
            own, that outlived its process, and that stepbench ended: the number of each name.
        ended: The time at which the case was measured last, UTC; `None` if unknown.
        findings: The results of the measurement; `None` if the status is not `ok`.
    """

    schema: int = measurement.SCHEMA
    start_s: Seconds | None = None
    elapsed_s: Seconds = 0.0
    left_behind: dict[str, int] = field(default_factory=dict)
    ended: Moment | None = None
    findings: Findings | None = None

    @property
    def is_partial(self) -> bool:
        """True if a signal ended the measurement before all of its generations were taken."""
        return (
            self.findings is not None and self.findings.sampling.stopped is StopReason.INTERRUPTED
        )


class ParityRecord(CaseRecord, frozen=True, kw_only=True):
    """`parity/<id>.json`: the comparison of a case's tensors with the reference.

    Attributes:
        judged_case: The id of the case that was judged for all cases with the same numerics.
        elapsed_s: The duration of the comparison, seconds, including the start of its process.
        judgement: The judgement; `None` if the comparison did not finish.
    """

    schema: int = parity.SCHEMA
    judged_case: str
    elapsed_s: Seconds = 0.0
    judgement: Judgement | None = None


class TrainingParityRecord(CaseRecord, frozen=True, kw_only=True):
    """`train-parity/<id>.json`: a case's trained models compared with the eager fp32 case's.

    Attributes:
        facts: The trainings of the case and of the eager fp32 case.
    """

    schema: int = parity.SCHEMA
    facts: TrainingFacts


class ProfileRecord(CaseRecord, frozen=True, kw_only=True):
    """`profiles/<id>.json`: the profile of a case.

    Attributes:
        elapsed_s: The duration of profiling, seconds, including the start of its process.
        profile: The profile; `None` if profiling did not finish.
    """

    schema: int = parity.SCHEMA
    elapsed_s: Seconds = 0.0
    profile: ProfileFindings | None = None
