from stepbench.config.case import Case
from stepbench.process.job import Outcome
from stepbench.runner import outcomes
from stepbench_reports.schema.parity import Judgement, ParityVerdict
from stepbench_reports.schema.status import Status

CASE = Case(workload="net", num_workers=2)
JUDGEMENT = Judgement(
    verdict=ParityVerdict.FAIL,
    reason="the loss at step 1 is 0.1 off",
    reference={"steps": 5, "batch_size": 4, "cut": None, "asked_steps": 5, "asked_batch_size": 4},
    random=("bernoulli_",),
    rule={"multiple": 4.0, "floor": 1e-5},
)


def test_a_judgement_is_that_of_all_cases_with_the_same_numerics() -> None:
    result = outcomes.parity_result(CASE, Outcome(Status.OK, result=JUDGEMENT, elapsed_s=2.0))
    assert result.judged_as == "net-cpu-b4-w0-off-fp32"
    assert result.verdict is ParityVerdict.FAIL
    assert result.elapsed_s == 2.0


def test_a_comparison_that_failed_has_no_verdict() -> None:
    result = outcomes.parity_result(CASE, Outcome(Status.TIMEOUT, reason="not done after 3 s"))
    assert result.verdict is None
    assert (result.status, result.reason) == (Status.TIMEOUT, "not done after 3 s")


def test_a_failed_process_leaves_a_measurement_without_findings() -> None:
    outcome = Outcome(Status.UNSUPPORTED, reason="no such device", axis="device", start_s=0.1)
    measurement = outcomes.case_measurement(CASE, outcome)
    assert (measurement.axis, measurement.start_s) == ("device", 0.1)
    assert not measurement.findings
    assert measurement.is_final
