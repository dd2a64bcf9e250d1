"""The part of a case's measurement that tells what was recognised of somebody's own script."""

from stepbench_reports.schema.record import Count, Record, Seconds, Share

EVALUATION = "evaluation"
"""The part in which a script evaluates its model; no part of a step."""


class RecognisedPart(Record, frozen=True, kw_only=True):
    """A part of a script's training, and whether it was recognised.

    Attributes:
        name: The part, such as `data loader`.
        found: What it was recognised as; `None` if it was not recognised.
        reason: The reason for which it was not recognised, and where its time is then.
    """

    name: str
    found: str | None = None
    reason: str | None = None


class ScriptFacts(Record, frozen=True, kw_only=True):
    """The parts of a script that were recognised, and their figures.

    Attributes:
        phases: The phases that were recognised, in the order of a step, with `other`.
        parts: The parts of its training.
        steps: The number of optimizer steps that the script took in this process.
        evaluations: The number of stretches of evaluation between the steps that were recorded.
        evaluation_s: The time of these stretches, seconds; no part of any step.
        unexplained: The share of the recorded wall time that is in no phase and no evaluation.
        exit_code: The script's own exit code; `None` if it was stopped at a step's end.
        ended: Words on how the script ended.
        unchanged: True if no setting of the script was replaced: others are compared with it.
        sample_unit: `sample`, or `step` if no batch size was recognised: rates then count steps.
    """

    phases: tuple[str, ...]
    parts: tuple[RecognisedPart, ...]
    steps: Count
    evaluations: Count = 0
    evaluation_s: Seconds = 0.0
    unexplained: Share
    exit_code: int | None = None
    ended: str = ""
    unchanged: bool = True
    sample_unit: str = "sample"
