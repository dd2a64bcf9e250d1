"""Compares the losses of a script's first steps with the unchanged script's, under one seed."""

import math
from collections.abc import Sequence

from stepbench_reports.schema.axes import Axes
from stepbench_reports.schema.parity import Judgement, ParityVerdict, Rule

TOLERANCE = {"fp32": 1e-4, "tf32": 1e-2, "bf16": 2e-2, "fp16": 1e-2}
"""The largest relative difference of a loss, by precision."""
REPEATS = 3.0
"""The multiple of the unchanged script's own difference from run to run that is allowed, too."""
SAME_INPUT = 1e-5
"""The largest relative difference of checksums of the same input."""


class ScriptParity:
    """The first losses of the unchanged script, from runs under the same seed.

    Args:
        losses: The losses of each run, in order.
        inputs: A checksum of the model's input in each of the steps, of each run.
    """

    def __init__(
        self, losses: Sequence[Sequence[float]], inputs: Sequence[Sequence[float]]
    ) -> None:
        self._losses = losses
        self._inputs = inputs

    def judge(self, case: Axes, losses: Sequence[float], inputs: Sequence[float]) -> Judgement:
        """Judges a script with changed settings.

        Args:
            case: The changed script.
            losses: Its first losses.
            inputs: A checksum of its model's input in each of these steps.
        """
        base = self._losses[0]
        allowed = max(TOLERANCE.get(case.precision, TOLERANCE["fp32"]), REPEATS * self.own_spread)
        reason = self._unknown(losses, inputs)
        if reason is not None:
            return _judgement(ParityVerdict.UNDECIDED, reason, allowed, len(losses))
        differences = [_relative(a, b) for a, b in zip(losses, base, strict=True)]
        worst = max(range(len(differences)), key=differences.__getitem__)
        if differences[worst] <= allowed:
            return _judgement(ParityVerdict.PASS, None, allowed, len(losses))
        reason = (
            f"loss {worst + 1} is {losses[worst]:.6g}, and {base[worst]:.6g} in the unchanged "
            f"script: {differences[worst]:.2g} of it, more than {allowed:.2g}"
        )
        return _judgement(ParityVerdict.FAIL, reason, allowed, len(losses))

    @property
    def own_spread(self) -> float:
        """The largest relative difference of the unchanged script's losses from run to run."""
        return max(
            (
                _relative(a, b)
                for other in self._losses[1:]
                for a, b in zip(other, self._losses[0], strict=False)
            ),
            default=0.0,
        )

    def _unknown(self, losses: Sequence[float], inputs: Sequence[float]) -> str | None:
        """Why nothing can be said; `None` if it can."""
        base = self._losses[0]
        if len(self._losses) < 2:
            return "unknown: the unchanged script has run once, which does not show if it repeats"
        if not losses or any(math.isnan(loss) for loss in [*losses, *base]):
            return "unknown: a backward pass began from something else than a single, finite loss"
        if self.own_spread > REPEATS * TOLERANCE["fp32"]:
            return (
                "unknown: the unchanged script itself has other losses from run to run under the "
                "same seed, so that its data order or its weights are not fixed by it"
            )
        if len(losses) != len(base):
            return "unknown: the scripts took different numbers of backward passes"
        if _differ(inputs, self._inputs[0]):
            return "unknown: the setting changes which data the first steps see"
        return None


def _differ(a: Sequence[float], b: Sequence[float]) -> bool:
    return any(_relative(x, y) > SAME_INPUT for x, y in zip(a, b, strict=False))


def _relative(a: float, b: float) -> float:
    """The difference of two numbers as a share of the larger one."""
    if math.isnan(a) or math.isnan(b):
        return math.inf
    scale = max(abs(a), abs(b))
    return abs(a - b) / scale if scale else 0.0


def _judgement(
    verdict: ParityVerdict, reason: str | None, allowed: float, compared: int
) -> Judgement:
    return Judgement(
        verdict=verdict, reason=reason, rule=Rule(multiple=REPEATS, floor=allowed),
        compared=compared,
    )  # fmt: skip
