"""`check.json`, `pairs.jsonl` and `facts.jsonl`: the measurements of a check."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, field

from stepbench_reports.schema.axes import Axes
from stepbench_reports.schema.cause import CallerLine, ChangedLines
from stepbench_reports.schema.compilation import Compilation
from stepbench_reports.schema.end_reason import EndReason
from stepbench_reports.schema.machine import MachineFacts, Packages
from stepbench_reports.schema.profile import Breakdown
from stepbench_reports.schema.record import (
    Bytes,
    Count,
    Effect,
    Positive,
    Record,
    Seconds,
    Share,
)
from stepbench_reports.schema.run import Settings

SCHEMA = 3
"""The format version of these files, increased when the meaning of their fields changes."""
SideName: TypeAlias = Literal["base", "head"]
SIDES: tuple[SideName, SideName] = ("base", "head")
Stage: TypeAlias = Literal["screen", "confirm"]
SCREEN: Stage = "screen"
CONFIRM: Stage = "confirm"


class SideFacts(Record, frozen=True, kw_only=True):
    """A side of the comparison.

    Attributes:
        commit: The side's commit, or the commit that its working tree is based on; `None` if
            there is no repository.
        described: A description of the side in words.
        python: The Python that runs the side; `None` if it is the Python that runs stepbench.
        packages: Versions of installed packages, by name.
    """

    commit: str | None
    described: str
    python: str | None = None
    packages: Packages = field(default_factory=dict)


class TurnOptions(Record, frozen=True, kw_only=True):
    """The length and number of the turns in which the sides of a pair alternate.

    Attributes:
        seconds: The minimum length of a turn, seconds: long enough for the side to fill the caches
            with its data, and short enough for a burst of noise to affect both sides.
        steps: The minimum number of steps in a turn.
        total_s: The total length of all turns of a pair, seconds. The remaining noise is within
            pairs, not between them: doubling this length lowers the spread by a factor of 1.4.
        min_rounds: The minimum number of rounds of four turns.
    """

    seconds: Seconds = 0.03
    steps: Positive = 2
    total_s: Seconds = 2.0
    min_rounds: Positive = 4


class CaseReason(Record, frozen=True, kw_only=True):
    """The reason for which a case is not compared, or fails.

    Attributes:
        case: The case's id.
        reason: The reason in one sentence.
    """

    case: str
    reason: str


class MinEffect(Record, frozen=True, kw_only=True):
    """The smallest effect to detect in some rows: `--min-effect forward=5%`.

    Attributes:
        rows: `step` or a phase, or a pattern of cases' ids with `*`.
        share: The effect, as a share of the step.
    """

    rows: str
    share: Effect


class CheckSpec(Record, frozen=True, kw_only=True):
    """`check.json`: the sides and cases that a check compares, and its options.

    Attributes:
        schema: The version of the format.
        id: The check's name.
        started: The start time, UTC.
        command: The command line.
        arguments: The arguments of the command line, for `--resume`.
        directory: The working directory in which the check was started.
        stepbench: The version of stepbench.
        machine: The machine.
        devices: The names of the devices that torch can use, by device.
        sides: The facts of base and head.
        fingerprint: A digest of head's files, which changes when a file changes; `None` if head
            is a revision.
        environments: True if the sides run in different environments.
        notes: Notes for the reader on differences between the sides, a sentence each.
        min_effect: The smallest effect that the check looks for, as a share of the step.
        min_effects: Other smallest effects for some rows; of those that fit a row, the last counts.
        turns: The length and number of the turns.
        strict: True if a check that could not tell is to fail, with exit code 3.
        settings: Settings that apply to every case.
        axes: Each case's value on each axis, by case id.
        cases: The ids of the cases that both sides can run, in order.
        failing: The cases in which only head fails.
        unmeasured: The cases in which base fails.
    """

    schema: int
    id: str
    started: str
    command: str
    arguments: tuple[str, ...] = ()
    directory: str
    stepbench: str
    machine: MachineFacts
    devices: dict[str, str] = field(default_factory=dict)
    sides: dict[SideName, SideFacts]
    fingerprint: str | None = None
    environments: bool = False
    notes: tuple[str, ...] = ()
    min_effect: Effect
    min_effects: tuple[MinEffect, ...] = ()
    turns: TurnOptions = TurnOptions()
    strict: bool = False
    settings: Settings = Settings()
    axes: dict[str, Axes]
    cases: tuple[str, ...]
    failing: tuple[CaseReason, ...] = ()
    unmeasured: tuple[CaseReason, ...] = ()

    def __post_init__(self) -> None:
        """Raises `ValueError` if a side is missing."""
        if not {*SIDES} <= {*self.sides}:
            raise ValueError("a side is missing")


class TurnSeries(Record, frozen=True, kw_only=True):
    """The turns of a pair in the order in which they were taken, four per round.

    Attributes:
        side: The side that took each turn.
        steps: The number of steps in each turn.
        elapsed_s: The duration of all steps of each turn, seconds: by the device's clock if there
            is one, else by the host's.
        phases_s: The duration of each phase over all steps of each turn, seconds, by phase.
        others: The share of the usable cores' time that processes other than the side's used in
            each turn; `null` in the file where the system does not report it, as below.
        steal: The share that the hypervisor gave to other virtual machines in each turn.
        run_delay_s: The time in which the side's threads waited for a core in each turn, seconds.
        throttled: The reasons for which the device was throttled in each turn.
    """

    side: tuple[SideName, ...]
    steps: tuple[Positive, ...]
    elapsed_s: tuple[Annotated[float, Meta(gt=0)], ...]
    phases_s: dict[str, tuple[Seconds, ...]] = field(default_factory=dict)
    others: tuple[Share | None, ...]
    steal: tuple[Share | None, ...]
    run_delay_s: tuple[Seconds | None, ...]
    throttled: tuple[str | None, ...]

    def __post_init__(self) -> None:
        """Raises `ValueError` if the series differ in length, or if a side had no turn."""
        series = (
            self.steps,
            self.elapsed_s,
            *self.phases_s.values(),
            self.others,
            self.steal,
            self.run_delay_s,
            self.throttled,
        )
        if any(len(values) != len(self.side) for values in series):
            raise ValueError("the series of turns differ in length")
        if not {*SIDES} <= {*self.side}:
            raise ValueError("a side has no turn")


class SideEnd(Record, frozen=True, kw_only=True):
    """Facts of a side, taken after its last turn.

    Attributes:
        host_peak_bytes: The peak memory of the side's process tree, bytes.
        device_peak_bytes: The peak memory allocated on the device, bytes; with CUDA graphs, whose
            memory does not count as allocated, the peak memory reserved. `None` if the device does
            not record a peak.
        compile: The side's compilation; `None` in eager cases.
        modules: The number of the repository's modules that came from the side's tree.
        foreign: The repository's modules that came from outside the side's tree.
        packages: Installed packages that the side imported.
    """

    host_peak_bytes: Bytes
    device_peak_bytes: Bytes | None = None
    compile: Compilation | None = None
    modules: Count = 0
    foreign: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


class PairLine(Record, frozen=True, kw_only=True):
    """A line of `pairs.jsonl`: a pair that was measured.

    Attributes:
        case: The case's id.
        round: The round's number; a round has at most one pair of each case.
        server: The number of the server from which both sides were forked: an interpreter that
            has imported torch. All pairs of a round have the same server.
        stage: `screen` or `confirm`.
        turns: The turns.
        sides: Facts of each side, taken after its last turn.
        together: False if the sides were alive one at a time, because they find no room beside each
            other or `--one-at-a-time` was given.
        interference: True if interference differed too much between the sides for the pair to
            count.
        elapsed_s: The duration of the pair, seconds, including building and warm-up.
    """

    case: str
    round: Positive
    server: Positive
    stage: Stage
    turns: TurnSeries
    sides: dict[SideName, SideEnd] = field(default_factory=dict)
    together: bool = True
    interference: bool
    elapsed_s: Seconds = 0.0


class SideFailure(Record, frozen=True, kw_only=True):
    """The failure of a side, with which the pair failed too.

    Attributes:
        side: The side that failed.
        reason: The reason in one sentence.
        detail: The traceback; `None` if there is none.
    """

    side: SideName
    reason: str
    detail: str | None = None


class FailedPairLine(Record, frozen=True, kw_only=True):
    """A line of `pairs.jsonl`: a pair that failed.

    Attributes:
        case: The case's id.
        round: The round's number.
        server: The number of the server from which the sides were forked.
        stage: `screen` or `confirm`.
        failed: The side that failed, and the reason.
    """

    case: str
    round: Positive
    server: Positive
    stage: Stage
    failed: SideFailure


class BeginFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="begin"):
    """The start of the check, or of a resumption."""


class ParityFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="parity"):
    """The parity of the sides in cases with the same numerics.

    Attributes:
        cases: The ids of the cases.
        head: Head's parity verdict, or the status with which the parity check ended.
        reason: The reason in one sentence if head does not pass.
        base: Base's parity verdict; `None` if base was not checked because head passes.
    """

    cases: tuple[str, ...]
    head: str
    reason: str | None = None
    base: str | None = None


class CompileFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="compile"):
    """Durations of first steps with an empty compile cache.

    Attributes:
        case: The case's id.
        seconds: The duration of base's and of head's first step, seconds; a pair per repetition.
    """

    case: str
    seconds: tuple[tuple[Seconds, Seconds], ...]


class ChangesFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="changes"):
    """The lines of Python files in which the sides differ, recorded when a case is slower.

    Attributes:
        lines: The lines.
    """

    lines: tuple[ChangedLines, ...]


class OperatorsFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="operators"):
    """A side's operators by phase, from a short trace.

    Attributes:
        case: The case's id.
        side: The side.
        breakdown: The side's operators by phase.
        lines: The lines of the repository that call operators, the longest first.
        files: The repository's files with functions that ran in the steps.
    """

    case: str
    side: SideName
    breakdown: Breakdown
    lines: tuple[CallerLine, ...] = ()
    files: tuple[str, ...] = ()


class AloneFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="alone"):
    """The result of running each side alone, in a case whose pairs failed.

    Attributes:
        case: The case's id.
        base: The reason for which base fails alone; `None` if base does not fail.
        head: The reason for which head fails alone; `None` if head does not fail.
    """

    case: str
    base: str | None
    head: str | None


class ScreenedFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="screened"):
    """The early end of screening, which leaves time to confirm the flagged rows.

    Attributes:
        pairs: The number of pairs measured until then.
    """

    pairs: Count


class FatalFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="fatal"):
    """An error that makes every comparison of the check impossible.

    Attributes:
        reason: The reason.
    """

    reason: str


class EndFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="end"):
    """The end of one session of a check; any session but a `done` one can be resumed.

    Attributes:
        why: The reason for the end.
        elapsed_s: The time since the check was started or resumed, seconds.
        budget_s: The time budget, seconds.
        import_s: The part of `elapsed_s` in which pairs waited for servers that import, seconds.
    """

    why: EndReason
    elapsed_s: Seconds
    budget_s: Seconds
    import_s: Seconds = 0.0


Fact: TypeAlias = (
    BeginFact
    | ParityFact
    | CompileFact
    | ChangesFact
    | OperatorsFact
    | AloneFact
    | ScreenedFact
    | FatalFact
    | EndFact
)
"""A line of `facts.jsonl`."""
