import math

import pytest

from stepbench_reports.read.parity import UNKNOWN, read
from stepbench_reports.wording.parity import cell, points, relative, sentence, short, shortened


def judged(verdict: str = "pass", **more: object) -> dict[str, object]:
    worst = {
        "loss": {"step": 1, "kind": "loss", "name": "loss", "error": 1e-7, "allowed": 1e-5},
        "gradient": {"step": 2, "kind": "gradient", "name": "w", "error": 3e-6, "allowed": 1e-5},
    }
    return {
        "id": "a",
        "judged_as": "b",
        "judgement": {"verdict": verdict, "reason": None, "worst": worst, **more},
    }


def trained(verdict: str) -> dict[str, object]:
    return {
        "facts": {
            "verdict": verdict,
            "accuracies": [0.9, 0.92],
            "twin_accuracies": [0.95, 0.93],
            "difference": -0.03,
            "low": -0.04,
            "high": -0.02,
        }
    }


def test_what_was_not_compared_is_blank() -> None:
    assert (short(UNKNOWN), cell(UNKNOWN), sentence(UNKNOWN)) == ("", "", "")
    assert math.isnan(UNKNOWN.error)
    assert read(None, None) == UNKNOWN


def test_a_pass_shows_the_error_closest_to_its_allowance() -> None:
    parity = read(judged(), None)
    assert parity.error == 3e-6
    assert parity.error_of("loss") == 1e-7
    assert math.isnan(parity.error_of("buffer"))
    assert (short(parity), cell(parity)) == ("ok", "pass 3e-06")
    assert not parity.lost
    assert sentence(parity) == ""


def test_a_failure_is_lost_with_its_reason() -> None:
    parity = read(judged("fail", reason="the loss at step 1 is 0.1 off"), None)
    assert parity.lost
    assert (short(parity), cell(parity)) == ("LOST", "**lost** 3e-06")
    assert sentence(parity) == "departs: the loss at step 1 is 0.1 off"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (judged("undecided", reason="rand draws otherwise"), "undecided: rand draws otherwise"),
        ({"id": "a", "reason": "not done after 3 s"}, "not judged: not done after 3 s"),
    ],
)
def test_what_cannot_be_told_is_open(content: dict[str, object], word: str) -> None:
    parity = read(content, None)
    assert parity.open
    assert not parity.lost
    assert short(parity) == "?"
    assert sentence(parity) == word


def test_trainings_that_differ_are_lost_too() -> None:
    parity = read(judged(), trained("different"))
    assert parity.lost
    assert parity.accuracy == pytest.approx(0.91)
    assert parity.twin_accuracy == pytest.approx(0.94)
    assert points(parity) == "-3.00 points, -4.00 to -2.00, over 2 seeds"
    assert "its trainings are different" in sentence(parity)
    assert read(judged(), trained("inconclusive")).open
    assert not read(judged(), trained("equivalent")).open


def test_a_tensor_that_is_not_finite_is_told_so() -> None:
    worst = {"loss": {"error": None, "allowed": 1e-5}}
    parity = read(judged("fail", worst=worst), None)
    assert math.isinf(parity.error)
    assert cell(parity) == "**lost** not finite"
    assert relative(math.nan) == ""


def test_a_cut_trajectory_is_told() -> None:
    reference = {
        "steps": 2, "batch_size": 8, "cut": "to keep within --parity-budget 1 s",
        "asked_steps": 5, "asked_batch_size": 256,
    }  # fmt: skip
    parity = read(judged(reference=reference), None)
    assert shortened(parity) == (
        "compared over 2 of 5 steps at batch size 8 instead of 256, to keep within "
        "--parity-budget 1 s"
    )
    assert shortened(read(judged(), None)) == ""
