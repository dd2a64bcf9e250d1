"""`check.json`, `pairs.jsonl` and `facts.jsonl`: what a check has measured."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, field

from stepbench_reports.schema.axes import Axes
from stepbench_reports.schema.compilation import Compilation
from stepbench_reports.schema.machine import MachineFacts, Packages
from stepbench_reports.schema.profile import Breakdown
from stepbench_reports.schema.record import Bytes, Count, Positive, Record, Seconds, Share
from stepbench_reports.schema.run import Settings

SCHEMA = 1
"""The version of these files; raised when their meaning changes."""
SideName: TypeAlias = Literal["base", "head"]
SIDES: tuple[SideName, SideName] = ("base", "head")
Stage: TypeAlias = Literal["screen", "confirm"]
SCREEN: Stage = "screen"
CONFIRM: Stage = "confirm"


class SideFacts(Record, frozen=True, kw_only=True):
    """A side of the comparison.

    Attributes:
        commit: The commit that it is, or that the working tree is based on; `None` where there is
            no repository.
        described: What it is, in words.
        python: The Python that it runs in; `None` where that is stepbench's own.
        packages: Versions of packages.
    """

    commit: str | None
    described: str
    python: str | None = None
    packages: Packages = field(default_factory=dict)


class TurnOptions(Record, frozen=True, kw_only=True):
    """How sides take turns.

    Attributes:
        seconds: The shortest turn, seconds: long enough for the caches to be the side's own, and
            short enough for a burst of noise to meet both sides.
        steps: The smallest number of steps of a turn.
        total_s: The length of all turns of a pair together, seconds. The remaining noise is within
            pairs, not between them: twice as long lowers the spread by a factor of 1.4.
        least_rounds: The smallest number of rounds of four turns.
    """

    seconds: Seconds = 0.03
    steps: Positive = 2
    total_s: Seconds = 2.0
    least_rounds: Positive = 4


class CaseReason(Record, frozen=True, kw_only=True):
    """Why a case is not compared, or fails.

    Attributes:
        case: The case's id.
        reason: One sentence.
    """

    case: str
    reason: str


class CheckSpec(Record, frozen=True, kw_only=True):
    """`check.json`: what is compared, and how.

    Attributes:
        schema: The version of the format.
        id: The check's name.
        started: When, in UTC.
        command: The command line.
        arguments: Its arguments, for `--resume`.
        directory: Where it was started.
        stepbench: The version of stepbench.
        machine: The machine.
        devices: The devices that torch can use, with their names.
        sides: Base and head.
        fingerprint: Changes where head's files do; `None` where head is a revision.
        environments: True where the sides run in different environments.
        notes: What a reader has to know of how they differ, a sentence each.
        smallest: The smallest effect that is looked for, a share of the step.
        turns: How sides take turns.
        settings: Settings that hold for every case.
        axes: Each case's value on each axis, by its id.
        cases: The ids of the cases that both sides can run, in order.
        failing: The cases that only head fails in.
        unmeasured: The cases that base fails in.
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
    smallest: Share
    turns: TurnOptions = TurnOptions()
    settings: Settings = Settings()
    axes: dict[str, Axes]
    cases: tuple[str, ...]
    failing: tuple[CaseReason, ...] = ()
    unmeasured: tuple[CaseReason, ...] = ()

    def __post_init__(self) -> None:
        """Refuses a check that lacks a side."""
        if not {*SIDES} <= {*self.sides}:
            raise ValueError("a side is missing")


class TurnSeries(Record, frozen=True, kw_only=True):
    """The turns of a pair in the order in which they were taken, four to a round.

    Attributes:
        side: Whose turn it was.
        steps: Its steps.
        elapsed_s: Seconds of all its steps, by the clock that tells how long the work took.
        phases_s: By phase, seconds of all its steps.
    """

    side: tuple[SideName, ...]
    steps: tuple[Positive, ...]
    elapsed_s: tuple[Annotated[float, Meta(gt=0)], ...]
    phases_s: dict[str, tuple[Seconds, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses series of different lengths, and a pair in which a side had no turn."""
        series = (self.steps, self.elapsed_s, *self.phases_s.values())
        if any(len(each) != len(self.side) for each in series):
            raise ValueError("the turns' figures are unequally many")
        if not {*SIDES} <= {*self.side}:
            raise ValueError("a side has no turn")


class SideEnd(Record, frozen=True, kw_only=True):
    """Facts of a side after its last turn.

    Attributes:
        host_peak_bytes: The peak memory of its process tree.
        device_peak_bytes: The device's peak memory; `None` where the device keeps none.
        compile: What was compiled; `None` in eager cases.
        modules: Modules of the repository that came from the side's own tree.
        foreign: Those that came from elsewhere.
        packages: Installed packages that the side had to import.
    """

    host_peak_bytes: Bytes
    device_peak_bytes: Bytes | None = None
    compile: Compilation | None = None
    modules: Count = 0
    foreign: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


class MachineUse(Record, frozen=True, kw_only=True):
    """What went on around a pair. `None` where the system does not tell; see `BlockNoise`."""

    others: Share | None
    steal: Share | None
    pressure: float | None
    cpu_per_wall: float
    involuntary_switches: Count
    clock_hz: float | None = None
    throttled: str | None = None


class PairLine(Record, frozen=True, kw_only=True):
    """A line of `pairs.jsonl`: a pair that was taken.

    Attributes:
        case: The case's id.
        round: All cases' pairs of one round were forked from one process.
        stage: `screen` or `confirm`.
        turns: The turns.
        sides: Facts of each side after its last turn.
        disturbance: What else went on.
        disturbed: True where others kept the machine too busy for the pair to count.
        elapsed_s: Seconds that it took, with building and warm-up.
    """

    case: str
    round: Positive
    stage: Stage
    turns: TurnSeries
    sides: dict[SideName, SideEnd] = field(default_factory=dict)
    disturbance: MachineUse | None = None
    disturbed: bool
    elapsed_s: Seconds = 0.0


class SideFailure(Record, frozen=True, kw_only=True):
    """A side that failed, and the pair with it.

    Attributes:
        side: Which.
        reason: One sentence.
        detail: A traceback; `None` where there is none.
    """

    side: SideName
    reason: str
    detail: str | None = None


class FailedPairLine(Record, frozen=True, kw_only=True):
    """A line of `pairs.jsonl`: a pair that came to nothing.

    Attributes:
        case: The case's id.
        round: Its round.
        stage: Its stage.
        failed: Which side failed, and why.
    """

    case: str
    round: Positive
    stage: Stage
    failed: SideFailure


class BeginFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="begin"):
    """The check was begun, or resumed."""


class ParityFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="parity"):
    """Parity of the sides in cases with the same numerics.

    Attributes:
        cases: Their ids.
        head: Head's verdict, or the status with which judging ended.
        reason: One sentence, where head does not pass.
        base: Base's verdict; `None` where it was not asked, as head passes.
    """

    cases: tuple[str, ...]
    head: str
    reason: str | None = None
    base: str | None = None


class CompileFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="compile"):
    """First steps with an empty compile cache.

    Attributes:
        case: The case's id.
        seconds: Of base and head, a pair for each time.
    """

    case: str
    seconds: tuple[tuple[Seconds, Seconds], ...]


class OperatorsFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="operators"):
    """A side's operators by phase, from a short trace.

    Attributes:
        case: The case's id.
        side: The side.
        breakdown: Its operators.
    """

    case: str
    side: SideName
    breakdown: Breakdown


class AloneFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="alone"):
    """Each side of a case whose pairs failed, with nothing beside it.

    Attributes:
        case: The case's id.
        base: Why base fails; `None` where it does not.
        head: Why head fails; `None` where it does not.
    """

    case: str
    base: str | None
    head: str | None


class ScreenedFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="screened"):
    """Screening ended early, for time to confirm what was flagged.

    Attributes:
        pairs: Pairs that had been taken by then.
    """

    pairs: Count


class FatalFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="fatal"):
    """Nothing can be compared.

    Attributes:
        reason: Why.
    """

    reason: str


class EndFact(Record, frozen=True, kw_only=True, tag_field="kind", tag="end"):
    """The end of the check, or of a part of it that is resumed.

    Attributes:
        why: `done`, `budget`, `interrupted` or `fatal`.
        elapsed_s: Seconds since it was begun or resumed.
        budget_s: Seconds that it had.
    """

    why: str
    elapsed_s: Seconds
    budget_s: Seconds


Fact: TypeAlias = (
    BeginFact
    | ParityFact
    | CompileFact
    | OperatorsFact
    | AloneFact
    | ScreenedFact
    | FatalFact
    | EndFact
)
"""A line of `facts.jsonl`."""
