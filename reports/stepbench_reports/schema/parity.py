"""`parity/<id>.json` and `train-parity/<id>.json`: the results of a case's parity checks."""

from enum import StrEnum

from msgspec import field

from stepbench_reports.schema.record import Count, Positive, Record, Seconds

SCHEMA = 2
"""The format version of these files and of `profiles/<id>.json`."""


class ParityVerdict(StrEnum):
    """A verdict on the correctness of the tensors that a case computes."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    UNDECIDED = "undecided"
    """Neither `pass` nor `fail` can be shown; the judgement's `reason` says why."""


class TrainingVerdict(StrEnum):
    """A verdict on a case's trained accuracy, compared with that of the eager fp32 case."""

    EQUIVALENT = "equivalent"
    DIFFERENT = "different"
    INCONCLUSIVE = "inconclusive"
    EAGER_FP32 = "eager fp32"
    """The case is itself the eager fp32 case, with which other cases are compared."""


class TensorKind(StrEnum):
    """The kind of a tensor; the members are in the order in which a step computes them."""

    OUTPUT = "output"
    LOSS = "loss"
    GRADIENT = "gradient"
    PARAMETER = "parameter"
    BUFFER = "buffer"


class TensorError(Record, frozen=True, kw_only=True):
    """A tensor's error and its tolerance.

    Attributes:
        step: The step, counted from 1.
        kind: The kind of the tensor.
        name: The tensor's name: the module path of a parameter or buffer, or a part of the output.
        error: The tensor's relative error; `None` if the error is not finite or the tensor is
            missing.
        allowed: The tolerance; `None` if the tolerance is not finite.
        eager_error: The tensor's relative error in eager execution with the same precision, in fp32
            on the CPU; `None` if the error is not finite.
    """

    step: Count
    kind: TensorKind
    name: str
    error: float | None
    allowed: float | None
    eager_error: float | None


class ReferenceFacts(Record, frozen=True, kw_only=True):
    """The extent of the comparison: its steps and batch size, compared with those requested.

    Attributes:
        steps: The number of steps that were compared.
        batch_size: The number of samples in each compared batch.
        cut: The reason for fewer steps or smaller batches than requested; `None` if neither is
            reduced.
        requested_steps: The number of steps that were requested.
        requested_batch_size: The case's batch size.
        seed: The seed of weights and batches.
    """

    steps: Count
    batch_size: Positive
    cut: str | None
    requested_steps: Positive
    requested_batch_size: Positive
    seed: Count


class Rule(Record, frozen=True, kw_only=True):
    """The rule for a tensor's tolerance: `multiple` times the error of eager execution + `floor`.

    In fp32, the error is that of the CPU. On another device, the same rule with that device's error
    can raise the tolerance to 1e-4.

    Attributes:
        multiple: The factor by which the error of eager execution is multiplied.
        floor: The relative error that is always allowed, added to the product.
    """

    multiple: float
    floor: float


class Blame(Record, frozen=True, kw_only=True):
    """The result of repeating a failed compiled case with a different value of `compile`.

    Attributes:
        compile: The different value: `off` or `backend:aot_eager`.
        outcome: `mismatch` (some tensor is out of tolerance), `agrees`, or the reason why the case
            failed.
    """

    compile: str
    outcome: str


class ReloadFacts(Record, frozen=True, kw_only=True):
    """The comparison of a saved and reloaded model with the trained model.

    Attributes:
        identical: True if the outputs of both models are equal, bit for bit; `None` if the outputs
            could not be compared.
        reason: The reason in one sentence if `identical` is not true.
    """

    identical: bool | None
    reason: str | None = None


class Judgement(Record, frozen=True, kw_only=True):
    """The judgement of a case's parity.

    Attributes:
        verdict: The verdict; `docs/parity.md` explains the rule.
        reason: The reason in one sentence if the case does not pass.
        reference: The extent of the comparison; `None` if the reference could not be computed.
        random: The operators that draw random numbers.
        rule: The rule for the tolerance.
        worst: By kind of tensor, the tensor closest to its tolerance, or furthest beyond it.
        first: The first tensor out of tolerance, in the order of computation.
        mismatches: The number of tensors out of tolerance.
        compared: The number of tensors that were compared.
        starts: The number of initial states from which the case was run. Above 1, a mismatch was
            checked again, and each error is the smallest over all starts.
        blame: For a compiled case that fails, the result with a different value of `compile`.
        reload: The check of the saved and reloaded model; `None` if there was no check.
        elapsed_s: The duration of the parity check, seconds, including compilation.
    """

    verdict: ParityVerdict
    reason: str | None = None
    reference: ReferenceFacts | None = None
    random: tuple[str, ...] = ()
    rule: Rule
    worst: dict[TensorKind, TensorError] = field(default_factory=dict)
    first: TensorError | None = None
    mismatches: Count = 0
    compared: Count = 0
    starts: Positive = 1
    blame: Blame | None = None
    reload: ReloadFacts | None = None
    elapsed_s: Seconds = 0.0


class TrainParityOptions(Record, frozen=True, kw_only=True):
    """The options of `--train-parity`, which compares trained models.

    Attributes:
        steps: The number of steps of each training.
        margin: The largest difference in test accuracy that still counts as equivalent.
        budget_s: The time budget for all trainings of a case, seconds.
        min_seeds: The minimum number of seeds.
        max_seeds: The maximum number of seeds.
    """

    steps: Positive = 8000
    margin: float = 0.01
    budget_s: Seconds = 600.0
    min_seeds: Positive = 3
    max_seeds: Positive = 12


class TrainingFacts(Record, frozen=True, kw_only=True):
    """The comparison of a case's trainings with those of the eager fp32 case on the same device.

    Attributes:
        verdict: The verdict; `None` if a training failed.
        eager_fp32: The id of the eager fp32 case.
        options: The options of the comparison.
        accuracies: The case's test accuracy for each seed; `None` if the metric is not finite.
        eager_fp32_accuracies: The test accuracy of the eager fp32 case for each seed; `None` if the
            metric is not finite.
        difference: The mean of the case's accuracy minus that of the eager fp32 case.
        low: The lower end of the confidence interval of `difference`; `None` if there are too few
            seeds.
        high: The upper end of the confidence interval of `difference`; `None` if there are too few
            seeds.
        confidence: The two-sided confidence level of the interval.
        elapsed_s: The duration of the comparison, seconds.
    """

    verdict: TrainingVerdict | None = None
    eager_fp32: str
    options: TrainParityOptions
    accuracies: tuple[float | None, ...] = ()
    eager_fp32_accuracies: tuple[float | None, ...] = ()
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    elapsed_s: Seconds = 0.0


class Trained(Record, frozen=True, kw_only=True):
    """The result of one training; not written to a file.

    Attributes:
        accuracy: The metric on the test data, per sample (the share of right answers), averaged
            over several tests in the last part of training. Not finite if the metric is not finite.
        samples: The number of test samples.
        loss: The loss of the last step.
    """

    accuracy: float
    samples: Count
    loss: float
