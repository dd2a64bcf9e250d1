from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbench.config import options
from stepbench.config.case import Case
from stepbench.runner import expected_time
from stepbench.runner.expected_time import PlannedWork
from stepbench_reports.schema.run import SamplingOptions

EAGER = Case(workload="net", batch_size=4)
COMPILED = EAGER.changed(compile="default")
DURATIONS_S = st.floats(1.0, 1e5)


def read(**given_options: Any) -> options.Options:
    return options.read(given_options, Path())


def test_a_default_run_lasts_as_long_as_its_cases_and_says_what_is_shorter() -> None:
    to_do = PlannedWork(cases=8, compilations=2, tasks=4)
    assert to_do.expected_s(SamplingOptions()) == 8 * 22 + 2 * 20 + 4 * 5
    text = expected_time.sentence(to_do, SamplingOptions())
    assert text == "about 4 min; --steps 20 takes about 2 min, without intervals"


@pytest.mark.parametrize("sampling", [SamplingOptions(steps=20), SamplingOptions(max_time_s=1.0)])
def test_a_short_run_has_no_advice(sampling: SamplingOptions) -> None:
    assert "--steps" not in expected_time.sentence(PlannedWork(1, 0, 1), sampling)


def test_trainings_are_named_since_their_time_is_not_known_yet() -> None:
    text = expected_time.sentence(PlannedWork(1, 0, 1, trains=True), SamplingOptions(steps=20))
    assert text == "about 9 s without the trainings of --train-parity"


def test_work_counts_what_cases_share_once() -> None:
    cases = [case.changed(num_workers=n) for case in (EAGER, COMPILED) for n in (0, 2)]
    run = read()
    assert expected_time.work(cases, run) == PlannedWork(cases=4, compilations=1, tasks=2)
    assert expected_time.work(cases, replace(run, cold=True)).compilations == 2 * 1
    assert expected_time.work(cases, replace(run, parity=None)).tasks == 0


def test_a_case_that_is_refused_compiles_nothing() -> None:
    refused = Case(
        workload="net", batch_size=4, accumulate=2, device="cuda", compile="reduce-overhead"
    )
    assert expected_time.compilations([refused], cold=False) == 0


@given(DURATIONS_S, st.floats(0.0, 1e5), st.floats(1.0, 1e4))
def test_the_time_left_always_shrinks(expected_s: float, elapsed_s: float, more_s: float) -> None:
    before_s = expected_time.left_s(expected_s, elapsed_s)
    after_s = expected_time.left_s(expected_s, elapsed_s + more_s)
    assert 0 < after_s < before_s


@given(DURATIONS_S, st.floats(0.0, 1.0 - expected_time.LAST_PART))
def test_the_time_left_is_the_rest_until_the_last_part(expected_s: float, share: float) -> None:
    elapsed_s = share * expected_s
    assert expected_time.left_s(expected_s, elapsed_s) == pytest.approx(expected_s - elapsed_s)
