"""Finds the one cause of a case's slowdown: the phase that grew most, and what follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass

from stepbench_reports.regression.decision import Decision, Finding
from stepbench_reports.regression.screening import SUITE, Row
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.verdict import Verdict

FOLLOWS_SHARE = 0.2
"""A phase that grew by a smaller share of what the main phase grew by follows from the main phase:
while that phase takes longer, caches are evicted and clocks drop."""
MOST = 0.5
"""A phase with at least this share of the slowdown is named alone."""


@dataclass(frozen=True)
class Culprit:
    """The cause of a case's slowdown.

    Attributes:
        finding: The case's step if it is slower; else the phase.
        phases: The phases that grew, each with its share of what the step grew by; the largest
            first: one if it explains most of it, else two. Empty if no phase grew clearly.
    """

    finding: Finding
    phases: tuple[tuple[str, float], ...]

    @property
    def case(self) -> str:
        """The case's id."""
        return self.finding.row.case


def culprits(decision: Decision) -> list[Culprit]:
    """The cause of each slower case, the slowest case first; the suite has none."""
    slower = [finding for finding in decision.regressions if finding.row.case != SUITE]
    steps = [finding for finding in slower if finding.row.what == STEP]
    with_step = {finding.row.case for finding in steps}
    alone: dict[str, Finding] = {}
    for finding in slower:
        if finding.row.case not in with_step:
            alone.setdefault(finding.row.case, finding)
    return [_culprit(decision, finding) for finding in (*steps, *alone.values())]


def _culprit(decision: Decision, finding: Finding) -> Culprit:
    if finding.row.what != STEP:
        return Culprit(finding, ((finding.row.what, 1.0),))
    grown = sorted(
        (
            f
            for f in decision.findings
            if f.row.case == finding.row.case and f.row.what != STEP and f.change.value > 0
        ),
        key=lambda f: -f.change.value,
    )
    shares = [
        (f.row.what, share)
        for f in grown
        if (share := min(1.0, f.change.value / finding.change.value)) >= MOST
        or f.verdict is Verdict.REGRESSION
    ]
    needed = 1 if shares and shares[0][1] >= MOST else 2
    return Culprit(finding, tuple(shares[:needed]))


def following(decision: Decision) -> Mapping[Row, str]:
    """The slower phases that follow from another phase, each with that phase."""
    pairs = ((finding.row, follows(decision, finding)) for finding in decision.findings)
    return {row: phase for row, phase in pairs if phase is not None}


def follows(decision: Decision, finding: Finding) -> str | None:
    """The phase that a slower phase follows from; `None` if it is a finding of its own."""
    if finding.row.what == STEP or finding.verdict is not Verdict.REGRESSION:
        return None
    main_phase = decision.main_phase(finding.row.case)
    if main_phase is None or finding.change.value >= FOLLOWS_SHARE * main_phase.change.value:
        return None
    return main_phase.row.what
