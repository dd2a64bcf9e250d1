"""What is refused once the cases of both sides are known."""

import pytest

from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench.regression.survey import refuse_unfit_effects
from stepbench_reports.schema.check import MinEffect

CASES = [Case(workload="gpt", batch_size=size, device="cpu", num_workers=0) for size in (4, 8)]


@pytest.mark.parametrize("rows", ["step", "forward", "gpt-*", "*-b8-*", CASES[0].id])
def test_an_effect_of_a_phase_or_of_a_case(rows: str) -> None:
    refuse_unfit_effects([MinEffect(rows=rows, share=0.05)], CASES)


@pytest.mark.parametrize("rows", ["fwd", "vit-*", CASES[0].id.replace("cpu", "all")])
def test_an_effect_that_fits_nothing_is_refused(rows: str) -> None:
    effects = [MinEffect(rows="step", share=0.04), MinEffect(rows=rows, share=0.05)]
    with pytest.raises(UsageError, match=r"is no phase and fits no case; give step, .*gpt-cpu-b4"):
        refuse_unfit_effects(effects, CASES)
