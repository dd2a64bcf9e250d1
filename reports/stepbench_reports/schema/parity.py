"""`parity/<id>.json` and `train-parity/<id>.json`: whether a case trains the same model."""

from enum import StrEnum

from msgspec import field

from stepbench_reports.schema.record import Count, Positive, Record, Seconds

SCHEMA = 1
"""The version of these files, and of `profiles/<id>.json`."""


class ParityVerdict(StrEnum):
    """A verdict on whether a case computes what it should."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    UNDECIDED = "undecided"
    """Neither can be told, for the reason that is given."""


class TrainingVerdict(StrEnum):
    """A verdict on whether a case trains to the same accuracy."""

    EQUIVALENT = "equivalent"
    DIFFERENT = "different"
    INCONCLUSIVE = "inconclusive"
    TWIN = "twin"
    """The case is what others are compared with."""


class TensorKind(StrEnum):
    """The kind of a tensor, in the order in which a step computes it."""

    OUTPUT = "output"
    LOSS = "loss"
    GRADIENT = "gradient"
    PARAMETER = "parameter"
    BUFFER = "buffer"


class TensorError(Record, frozen=True, kw_only=True):
    """A tensor's error beside its tolerance.

    Attributes:
        step: The step, counted from 1.
        kind: What it is.
        name: A parameter's or a buffer's module path; a part of the output.
        error: Its relative error; `None` where it is not finite, or the tensor is missing.
        allowed: The tolerance; `None` where it is not finite.
        own: Eager execution's own error in the same precision; `None` where it is not finite.
    """

    step: Count
    kind: TensorKind
    name: str
    error: float | None
    allowed: float | None
    own: float | None


class ReferenceFacts(Record, frozen=True, kw_only=True):
    """How far the trajectories were compared.

    Attributes:
        steps: Steps that were compared.
        batch_size: Samples in each of their batches.
        cut: Why not as far as was asked for; `None` where it was.
        asked_steps: Steps that were asked for.
        asked_batch_size: The case's batch size.
        seed: The seed of weights and batches.
    """

    steps: Count
    batch_size: Positive
    cut: str | None
    asked_steps: Positive
    asked_batch_size: Positive
    seed: Count


class Rule(Record, frozen=True, kw_only=True):
    """The tolerance: a multiple of eager execution's own error, and a floor beside it.

    Attributes:
        multiple: How many times eager's own error.
        floor: What is allowed beside it.
    """

    multiple: float
    floor: float


class Blame(Record, frozen=True, kw_only=True):
    """What a compiled case that fails does if it is compiled in another way.

    Attributes:
        compile: The other way: `off` or `backend:aot_eager`.
        found: `departs`, `agrees`, or why it failed.
    """

    compile: str
    found: str


class ReloadFacts(Record, frozen=True, kw_only=True):
    """A saved and reloaded model beside the one that was trained.

    Attributes:
        identical: True where the outputs are the same, bit for bit; `None` where they could not be
            compared.
        reason: Why not, in one sentence.
    """

    identical: bool | None
    reason: str | None = None


class Judgement(Record, frozen=True, kw_only=True):
    """A judgement of a case's parity.

    Attributes:
        verdict: The answer; `docs/parity.md` has the rule.
        reason: One sentence, where it does not pass.
        reference: How far the trajectories were compared; `None` where the reference could not be
            had.
        random: The operators that draw random numbers.
        rule: The tolerance.
        worst: By kind of tensor, the one closest to its tolerance, or furthest beyond it.
        first: The first tensor out of tolerance, in the order of computing.
        departed: Tensors out of tolerance.
        compared: Tensors that were compared.
        starts: Starts that the case was run from: above 1 where a mismatch was looked at again, and
            errors are then the smallest of all.
        blame: For a compiled case that fails, what else fails.
        reload: The saved and reloaded model; `None` where that was not tried.
        elapsed_s: Seconds that judging took, compilation included.
    """

    verdict: ParityVerdict
    reason: str | None = None
    reference: ReferenceFacts | None = None
    random: tuple[str, ...] = ()
    rule: Rule
    worst: dict[TensorKind, TensorError] = field(default_factory=dict)
    first: TensorError | None = None
    departed: Count = 0
    compared: Count = 0
    starts: Positive = 1
    blame: Blame | None = None
    reload: ReloadFacts | None = None
    elapsed_s: Seconds = 0.0


class TrainParityOptions(Record, frozen=True, kw_only=True):
    """How trained models are compared.

    Attributes:
        steps: Steps of each training.
        margin: The difference of test accuracies that still counts as none.
        budget_s: Seconds that the trainings of a case may take.
        least_seeds: Seeds that are trained at least.
        most_seeds: Seeds that are trained at most.
    """

    steps: Positive = 8000
    margin: float = 0.01
    budget_s: Seconds = 600.0
    least_seeds: Positive = 3
    most_seeds: Positive = 12


class TrainingFacts(Record, frozen=True, kw_only=True):
    """The trainings of a case beside those of its eager twin.

    Attributes:
        verdict: The answer; `None` where a training failed.
        twin: The id of the case that it is compared with.
        asked: How trained models were compared.
        accuracies: By seed, the case's test accuracy; `None` where the metric is not finite.
        twin_accuracies: By seed, its twin's.
        difference: The mean difference, case less twin.
        low: The lower end of its interval; `None` where there are too few seeds for one.
        high: The upper end.
        confidence: That of the interval, two-sided.
        elapsed_s: Seconds that it took.
    """

    verdict: TrainingVerdict | None = None
    twin: str
    asked: TrainParityOptions
    accuracies: tuple[float | None, ...] = ()
    twin_accuracies: tuple[float | None, ...] = ()
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    elapsed_s: Seconds = 0.0


class Trained(Record, frozen=True, kw_only=True):
    """The result of one training; not kept as such.

    Attributes:
        accuracy: The metric over the test data, per sample: the share of right answers; the mean
            of several tests in the last part of training. Not finite where the metric is not.
        samples: Test samples.
        loss: Of the last step.
    """

    accuracy: float
    samples: Count
    loss: float
