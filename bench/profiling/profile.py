"""What profiling a case found, as it is kept in the run directory. Knows no torch.

`docs/run-directory.md` describes the file.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from bench.case import Case
from bench.case_result import CaseResult, ending
from bench.child import Outcome


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What profiling found. Times in seconds, sizes in bytes.

    Attributes:
        trace: The trace's size and its number of events.
        board: The size of what TensorBoard reads, and what was left out of it, by tab.
        breakdown: A `bench.profiling.breakdown.Breakdown`.
        curves: How the short training went, for the curves; `None` where the case does not train.
        workers: What the loader's workers spent their time on; `None` where they were not watched.
        snapshot_bytes: The memory snapshot's size, where there is one.
        elapsed_s: How long profiling took.
    """

    trace: Mapping[str, Any]
    board: Mapping[str, Any]
    breakdown: Mapping[str, Any]
    curves: Mapping[str, Any] | None
    workers: tuple[Mapping[str, Any], ...] | None
    snapshot_bytes: int | None
    elapsed_s: float


@dataclass(frozen=True, kw_only=True)
class Profiled(CaseResult):
    """A case, and what profiling it came to.

    Attributes:
        elapsed_s: Seconds that it took, its process's start included.
        profile: What was found, where it ended well.
    """

    elapsed_s: float = 0.0
    profile: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, case: Case, outcome: Outcome) -> Self:
        """What a child's outcome says of a case."""
        found = outcome.result
        return cls(
            **ending(case, outcome),
            elapsed_s=outcome.elapsed_s,
            profile=asdict(found) if isinstance(found, Profile) else None,
        )
