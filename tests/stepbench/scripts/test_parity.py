import math

import pytest

from stepbench.config.case import Case
from stepbench.scripts.parity import ScriptParity
from stepbench_reports.schema.parity import ParityVerdict

BASE = (2.0, 1.5, 1.2)
INPUTS = (10.0, -3.0)


def case(precision: str = "fp32") -> Case:
    return Case(workload="train.py", precision=precision)


def parity(*losses: tuple[float, ...]) -> ScriptParity:
    return ScriptParity(losses or (BASE, BASE), (INPUTS, INPUTS))


def test_equal_losses_pass() -> None:
    judged = parity().judge(case(), BASE, INPUTS)
    assert judged.verdict is ParityVerdict.PASS
    assert judged.compared == 3


@pytest.mark.parametrize(
    ("precision", "factor", "verdict"),
    [
        ("fp32", 1 + 5e-5, ParityVerdict.PASS),
        ("fp32", 1 + 5e-3, ParityVerdict.FAIL),
        ("bf16", 1 + 5e-3, ParityVerdict.PASS),
        ("bf16", 1.1, ParityVerdict.FAIL),
    ],
)
def test_the_tolerance_depends_on_the_precision(
    precision: str, factor: float, verdict: ParityVerdict
) -> None:
    losses = (BASE[0], BASE[1] * factor, BASE[2])
    judged = parity().judge(case(precision), losses, INPUTS)
    assert judged.verdict is verdict
    assert verdict is ParityVerdict.PASS or "loss 2 is" in str(judged.reason)


def test_the_script_s_own_spread_widens_the_tolerance() -> None:
    own = tuple(loss * (1 + 2e-4) for loss in BASE)
    changed = tuple(loss * (1 + 5e-4) for loss in BASE)
    assert parity().judge(case(), changed, INPUTS).verdict is ParityVerdict.FAIL
    judged = parity(BASE, own).judge(case(), changed, INPUTS)
    assert judged.verdict is ParityVerdict.PASS


@pytest.mark.parametrize(
    ("runs", "losses", "inputs", "words"),
    [
        ((BASE,), BASE, INPUTS, "has run once"),
        ((BASE, (2.1, 1.5, 1.2)), BASE, INPUTS, "from run to run"),
        ((BASE, BASE), BASE, (10.0, 4.0), "which data the first steps see"),
        ((BASE, BASE), BASE[:2], INPUTS, "different numbers of backward passes"),
        ((BASE, BASE), (2.0, math.nan, 1.2), INPUTS, "single, finite loss"),
        (((), ()), (), (), "single, finite loss"),
    ],
)
def test_what_cannot_be_told_is_unknown_with_a_reason(
    runs: tuple[tuple[float, ...], ...],
    losses: tuple[float, ...],
    inputs: tuple[float, ...],
    words: str,
) -> None:
    judged = parity(*runs).judge(case(), losses, inputs)
    assert judged.verdict is ParityVerdict.UNDECIDED
    assert str(judged.reason).startswith("unknown: ")
    assert words in str(judged.reason)
