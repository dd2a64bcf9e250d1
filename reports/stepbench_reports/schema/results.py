"""The records of a case in a run directory: a file for each pass over it.

| file | record |
| --- | --- |
| `cases/<id>.json` | `MeasurementRecord` |
| `parity/<id>.json` | `ParityRecord` |
| `train-parity/<id>.json` | `TrainingParityRecord` |
| `profiles/<id>.json` | `ProfileRecord` |
"""

from stepbench_reports.schema import measurement, parity
from stepbench_reports.schema.axes import Axes
from stepbench_reports.schema.measurement import Findings
from stepbench_reports.schema.parity import Judgement, TrainingFacts
from stepbench_reports.schema.profile import ProfileFindings
from stepbench_reports.schema.record import Record, Seconds
from stepbench_reports.schema.status import Status


class CaseRecord(Record, frozen=True, kw_only=True):
    """A case, and how a pass over it ended.

    Attributes:
        schema: The version of the file's format.
        id: The case's id.
        case: Its value on each axis.
        status: How the pass ended.
        reason: One sentence with the remedy, where the status is not `ok`.
        detail: The traceback or the end of what the child printed, where there is one.
        axis: The axis whose value this machine does not support, where the case is `unsupported`.
    """

    schema: int
    id: str
    case: Axes
    status: Status
    reason: str | None = None
    detail: str | None = None
    axis: str | None = None

    @property
    def is_final(self) -> bool:
        """True where a resumed run need not repeat the pass."""
        return self.status in {Status.OK, Status.UNSUPPORTED}


class MeasurementRecord(CaseRecord, frozen=True, kw_only=True):
    """`cases/<id>.json`. In the file the findings' fields stand beside the others, `null` if none.

    Attributes:
        start_s: Seconds from asking for the case's process to its first message; `None` where there
            was none.
        elapsed_s: Seconds from asking for the process to its end.
        findings: The figures; `None` where the status is not `ok`.
    """

    schema: int = measurement.SCHEMA
    start_s: Seconds | None = None
    elapsed_s: Seconds = 0.0
    findings: Findings | None = None


class ParityRecord(CaseRecord, frozen=True, kw_only=True):
    """`parity/<id>.json`.

    Attributes:
        judged_as: The id of the case that stands for all with the same numerics, and was judged.
        elapsed_s: Seconds that the comparison took, with the start of its process.
        judgement: The judgement; `None` where judging came to no end.
    """

    schema: int = parity.SCHEMA
    judged_as: str
    elapsed_s: Seconds = 0.0
    judgement: Judgement | None = None


class TrainingParityRecord(CaseRecord, frozen=True, kw_only=True):
    """`train-parity/<id>.json`.

    Attributes:
        facts: The trainings beside those of the eager twin.
    """

    schema: int = parity.SCHEMA
    facts: TrainingFacts


class ProfileRecord(CaseRecord, frozen=True, kw_only=True):
    """`profiles/<id>.json`.

    Attributes:
        elapsed_s: Seconds that profiling took, with the start of its process.
        profile: The profile; `None` where profiling came to no end.
    """

    schema: int = parity.SCHEMA
    elapsed_s: Seconds = 0.0
    profile: ProfileFindings | None = None
