"""Attributes a slowdown to operators, to the lines that call them, and to changed lines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from stepbench_reports.analysis import operators
from stepbench_reports.regression.decision import Decision
from stepbench_reports.regression.records import Check
from stepbench_reports.schema.cause import CallerLine, ChangedLines
from stepbench_reports.schema.check import SIDES, ChangesFact, OperatorsFact
from stepbench_reports.schema.phases import STEP

MAX_OPERATORS = 5
"""The most operators that are named for a case."""
MIN_SHARE = 0.05
"""An operator is named if its growth is at least this share of the largest growth."""
MIN_S = 1e-6
"""The smallest growth of an operator that is named, seconds per step."""
MAX_SUSPECTS = 3
"""The most changes that are shown for a case."""
AGREES = 0.25
"""The sum of the operators agrees with the step if it differs by at most this share."""


@dataclass(frozen=True)
class OperatorGrowth:
    """An operator that grew from base to head; times are self seconds per step.

    Attributes:
        phase: The phase.
        operator: The operator's name.
        base_s: Base's time.
        head_s: Head's time.
        line: The line of head that calls the operator more often or for longer than base does;
            `None` if no line of the repository does.
    """

    phase: str
    operator: str
    base_s: float
    head_s: float
    line: CallerLine | None

    @property
    def grown_s(self) -> float:
        """The growth."""
        return self.head_s - self.base_s


@dataclass(frozen=True)
class Attribution:
    """The operators behind a case's slowdown, in seconds per step.

    `operators`, `phase_rest_s` and `other_phases_s` add up to `traced_s`.

    Attributes:
        phase: The phase of the operators; `None` if none of the main phase's operators grew.
        operators: The operators that grew most, the largest first.
        phase_rest_s: The growth of all other operators of the phase, or of all phases without one.
        other_phases_s: The growth of the operators of other phases.
        step_s: The growth of the step in the pairs, which are not traced.
        on_device: True if the times are those of the device's work.
        suspects: Changes in files whose functions ran, the most suspicious first.
    """

    phase: str | None
    operators: tuple[OperatorGrowth, ...]
    phase_rest_s: float
    other_phases_s: float
    step_s: float
    on_device: bool
    suspects: tuple[ChangedLines, ...]

    @property
    def traced_s(self) -> float:
        """The growth of all operators together."""
        return sum(o.grown_s for o in self.operators) + self.phase_rest_s + self.other_phases_s

    @property
    def adds_up(self) -> bool:
        """True if the operators' growth agrees with that of the step."""
        return abs(self.traced_s - self.step_s) <= AGREES * abs(self.step_s)


def attribute(decision: Decision, case: str) -> Attribution | None:
    """Attributes the slowdown of a case; `None` if a side was not traced."""
    by_side = {
        fact.side: fact for fact in decision.check.facts_of(OperatorsFact) if fact.case == case
    }
    if set(by_side) != set(SIDES):
        return None
    base, head = (by_side[side] for side in SIDES)
    table = operators.compare(
        *(operators.per_step(fact.breakdown.rows, fact.breakdown.steps) for fact in (base, head)),
        keys=["phase", "operator"],
    )
    main_phase = decision.main_phase(case)
    phase = None if main_phase is None else main_phase.row.what
    in_phase = table[table["phase"] == phase]
    if not (in_phase["difference_s"] > MIN_S).any():
        phase, in_phase = None, table
    grown = tuple(_largest(in_phase, base, head))
    named_s = sum(operator.grown_s for operator in grown)
    phase_s = float(in_phase["difference_s"].sum())
    step = next(f for f in decision.findings if f.row.case == case and f.row.what == STEP)
    return Attribution(
        phase=phase,
        operators=grown,
        phase_rest_s=phase_s - named_s,
        other_phases_s=float(table["difference_s"].sum()) - phase_s,
        step_s=step.head_s - step.base_s,
        on_device=table.attrs["clock"] == "device",
        suspects=_suspects(decision.check, head, grown),
    )


def _largest(
    table: pd.DataFrame, base: OperatorsFact, head: OperatorsFact
) -> Iterator[OperatorGrowth]:
    """The operators that grew most, from a table that is sorted by growth."""
    rows = table[table["difference_s"] > MIN_S].to_dict("records")
    for row in rows[:MAX_OPERATORS]:
        if row["difference_s"] < MIN_SHARE * rows[0]["difference_s"]:
            return
        phase, operator = str(row["phase"]), str(row["operator"])
        line = grown_line(phase, operator, base.lines, head.lines)
        yield OperatorGrowth(phase, operator, float(row["a_s"]), float(row["b_s"]), line)


def grown_line(
    phase: str, operator: str, base: Sequence[CallerLine], head: Sequence[CallerLine]
) -> CallerLine | None:
    """The line of head that calls an operator more often than base does, or else for longer.

    A line is the same in both sides if file, function and text are: its number may differ.
    """
    growth: dict[tuple[str, str, str], tuple[float, float]] = {}
    lines: dict[tuple[str, str, str], CallerLine] = {}
    for sign, side in ((-1, base), (1, head)):
        for line in side:
            if (line.phase, line.operator) == (phase, operator):
                key = line.file, line.function, line.code
                calls, seconds = growth.get(key, (0.0, 0.0))
                growth[key] = calls + sign * line.calls, seconds + sign * line.host_self_s
                if side is head:
                    lines[key] = line  # of lines that are repeated, the last one
    # The time that stacks cost is spread over calls; more calls are the clearer sign.
    grown = max(lines, key=growth.__getitem__, default=None)
    return lines[grown] if grown is not None and max(growth[grown]) > 0 else None


def _suspects(
    check: Check, head: OperatorsFact, grown: Sequence[OperatorGrowth]
) -> tuple[ChangedLines, ...]:
    """Changes in files whose functions ran: first those at the lines of operators that grew."""
    changes = [
        change
        for fact in check.facts_of(ChangesFact)
        for change in fact.lines
        if change.file in head.files
    ]
    lines = [operator.line for operator in grown if operator.line is not None]

    def distance(change: ChangedLines) -> tuple[int, int]:
        """The rank of the first operator with a line in the file, and the lines between them."""
        for rank, line in enumerate(lines):
            if line.file == change.file:
                last = change.first + max(change.count - 1, 0)
                return rank, max(change.first - line.line, line.line - last, 0)
        return len(lines), 0

    return tuple(sorted(changes, key=distance)[:MAX_SUSPECTS])
