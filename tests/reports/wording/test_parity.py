import math
from typing import Any

import pytest

from stepbench_reports.read.parity import UNKNOWN, Parity
from stepbench_reports.schema.axes import Axes
from stepbench_reports.schema.parity import (
    Judgement,
    ParityVerdict,
    ReferenceFacts,
    Rule,
    TensorError,
    TensorKind,
    TrainingFacts,
    TrainingVerdict,
    TrainParityOptions,
)
from stepbench_reports.schema.results import ParityRecord, TrainingParityRecord
from stepbench_reports.schema.status import Status
from stepbench_reports.wording.parity import cell, points, relative, sentence, short, shortened

CASE = Axes(workload="convnet", compile="default")


def tensor(kind: TensorKind, error: float | None) -> TensorError:
    return TensorError(step=1, kind=kind, name=kind, error=error, allowed=1e-5, eager_error=1e-7)


WORST = {
    TensorKind.LOSS: tensor(TensorKind.LOSS, 1e-7),
    TensorKind.GRADIENT: tensor(TensorKind.GRADIENT, 3e-6),
}


def judged(verdict: ParityVerdict = ParityVerdict.PASS, **more: Any) -> ParityRecord:
    rule = Rule(multiple=4.0, floor=1e-6)
    judgement = Judgement(**{"verdict": verdict, "rule": rule, "worst": WORST, **more})
    return ParityRecord(
        id=CASE.id, case=CASE, status=Status.OK, judged_case="b", judgement=judgement
    )


def trained(verdict: TrainingVerdict) -> TrainingParityRecord:
    facts = TrainingFacts(
        verdict=verdict,
        eager_fp32="a",
        options=TrainParityOptions(),
        accuracies=(0.9, 0.92),
        eager_fp32_accuracies=(0.95, 0.93),
        difference=-0.03,
        low=-0.04,
        high=-0.02,
    )
    return TrainingParityRecord(id=CASE.id, case=CASE, status=Status.OK, facts=facts)


def test_what_was_not_compared_is_blank() -> None:
    assert (short(UNKNOWN), cell(UNKNOWN), sentence(UNKNOWN)) == ("", "", "")
    assert math.isnan(UNKNOWN.error)
    assert Parity(None, None) == UNKNOWN


def test_a_pass_shows_the_error_closest_to_its_allowance() -> None:
    parity = Parity(judged())
    assert parity.error == 3e-6
    assert parity.error_of(TensorKind.LOSS) == 1e-7
    assert math.isnan(parity.error_of(TensorKind.BUFFER))
    assert (short(parity), cell(parity)) == ("pass", "pass 3e-06")
    assert not parity.failed
    assert sentence(parity) == ""


def test_a_failure_has_its_reason() -> None:
    parity = Parity(judged(ParityVerdict.FAIL, reason="the loss at step 1 is 0.1 off"))
    assert parity.failed
    assert (short(parity), cell(parity)) == ("FAIL", "**FAIL** 3e-06")
    assert sentence(parity) == "fail: the loss at step 1 is 0.1 off"


@pytest.mark.parametrize(
    ("record", "word"),
    [
        (
            judged(ParityVerdict.UNDECIDED, reason="random numbers differ"),
            "undecided: random numbers differ",
        ),
        (
            ParityRecord(
                id=CASE.id,
                case=CASE,
                status=Status.TIMEOUT,
                reason="not done after 3 s",
                judged_case=CASE.id,
            ),
            "not judged: not done after 3 s",
        ),
    ],
)
def test_a_case_without_a_verdict_is_unknown(record: ParityRecord, word: str) -> None:
    parity = Parity(record)
    assert parity.unknown
    assert not parity.failed
    assert short(parity) == cell(parity) == "unknown"
    assert sentence(parity) == word


def test_trainings_that_differ_fail() -> None:
    parity = Parity(judged(), trained(TrainingVerdict.DIFFERENT))
    assert parity.failed
    assert parity.accuracy == pytest.approx(0.91)
    assert parity.eager_fp32_accuracy == pytest.approx(0.94)
    assert points(parity) == "-3.00 points, -4.00 to -2.00, over 2 seeds"
    assert "test accuracy is different" in sentence(parity)
    assert Parity(judged(), trained(TrainingVerdict.INCONCLUSIVE)).unknown
    assert not Parity(judged(), trained(TrainingVerdict.EQUIVALENT)).unknown


def test_an_error_that_is_not_finite_is_named() -> None:
    worst = {TensorKind.LOSS: tensor(TensorKind.LOSS, None)}
    parity = Parity(judged(ParityVerdict.FAIL, worst=worst))
    assert math.isinf(parity.error)
    assert cell(parity) == "**FAIL** not finite"
    assert relative(math.nan) == ""


def test_a_shortened_comparison_is_described() -> None:
    reference = ReferenceFacts(
        steps=2,
        batch_size=8,
        cut="to keep within --parity-budget 1 s",
        requested_steps=5,
        requested_batch_size=256,
        seed=0,
    )
    parity = Parity(judged(reference=reference))
    assert shortened(parity) == (
        "compared over 2 of 5 steps at batch size 8 instead of 256, to keep within "
        "--parity-budget 1 s"
    )
    assert shortened(Parity(judged())) == ""
