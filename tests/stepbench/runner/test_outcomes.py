import math

from stepbench.config.case import Case
from stepbench.process.job import Outcome
from stepbench.runner import outcomes
from stepbench_reports.schema.parity import Judgement, ParityVerdict, ReferenceFacts, Rule
from stepbench_reports.schema.profile import BoardFacts, Breakdown, ProfileFindings, TraceFacts
from stepbench_reports.schema.status import Status

CASE = Case(workload="net", num_workers=2)
JUDGEMENT = Judgement(
    verdict=ParityVerdict.FAIL,
    reason="the loss at step 1 is 0.1 off",
    reference=ReferenceFacts(
        steps=5, batch_size=4, cut=None, requested_steps=5, requested_batch_size=4, seed=0
    ),
    random=("bernoulli_",),
    rule=Rule(multiple=4.0, floor=1e-5),
)


def test_a_judgement_is_that_of_all_cases_with_the_same_numerics() -> None:
    result = outcomes.parity_record(CASE, Outcome(Status.OK, result=JUDGEMENT, elapsed_s=2.0))
    assert result.judged_case == "net-cpu-b4-w0-off-fp32"
    assert result.judgement == JUDGEMENT
    assert result.elapsed_s == 2.0


def test_a_comparison_that_failed_has_no_verdict() -> None:
    result = outcomes.parity_record(CASE, Outcome(Status.TIMEOUT, reason="not finished after 3 s"))
    assert result.judgement is None
    assert (result.status, result.reason) == (Status.TIMEOUT, "not finished after 3 s")


def test_a_failed_process_leaves_a_measurement_without_findings() -> None:
    outcome = Outcome(Status.UNSUPPORTED, reason="no such device", axis="device", start_s=0.1)
    measurement = outcomes.case_measurement(CASE, outcome)
    assert measurement.ended is not None
    assert measurement.ended.tzinfo is not None
    assert (measurement.axis, measurement.start_s) == ("device", 0.1)
    assert not measurement.findings
    assert measurement.is_final


def test_a_figure_that_is_not_finite_fails_the_case_and_not_the_run() -> None:
    profile = ProfileFindings(
        trace=TraceFacts(bytes=1, events=1),
        board=BoardFacts(bytes=1),
        breakdown=Breakdown(steps=1, step_s=math.inf, phase_s={}, rows=()),
    )
    record = outcomes.profile_record(CASE, Outcome(Status.OK, result=profile))
    assert (record.status, record.profile) == (Status.ERROR, None)
    assert "step_s" in str(record.reason)
