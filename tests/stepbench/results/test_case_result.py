import json
from dataclasses import replace

import pytest

from stepbench.config.case import Case
from stepbench.results.case_result import ParityResult, TrainingParityResult
from stepbench_reports.schema.parity import ParityVerdict
from stepbench_reports.schema.status import Status

CASE = Case(workload="net", num_workers=2)
JUDGED = ParityResult(
    case=CASE,
    status=Status.OK,
    judged_as=CASE.numerics_key.id,
    elapsed_s=2.0,
    judgement={"verdict": "fail", "reason": "the loss at step 1 is 0.1 off"},
)
UNDONE = ParityResult(
    case=CASE, status=Status.TIMEOUT, reason="not done after 3 s", judged_as=CASE.numerics_key.id
)


@pytest.mark.parametrize("result", [JUDGED, UNDONE], ids=["judged", "undone"])
def test_a_result_comes_back_from_its_file(result: ParityResult) -> None:
    content = json.loads(json.dumps(result.to_json()))
    assert content["id"] == CASE.id
    assert ParityResult.from_json(content) == result


def test_a_verdict_is_that_of_the_judgement() -> None:
    assert JUDGED.verdict is ParityVerdict.FAIL
    assert UNDONE.verdict is None


def test_trainings_come_back_from_their_file_and_are_told_in_points() -> None:
    facts = {
        "verdict": "different",
        "asked": {"margin": 0.01},
        "difference": -0.05,
        "low": -0.06,
        "high": -0.04,
        "accuracies": [0.9, 0.9, 0.9],
        "twin_accuracies": [0.95, 0.95, 0.95],
    }
    result = TrainingParityResult(case=CASE, status=Status.OK, facts=facts)
    back = TrainingParityResult.from_json(json.loads(json.dumps(result.to_json())))
    assert back == result
    assert back.verdict == "different"
    assert "-5.00 percentage points (-6.00 to -4.00)" in back.sentence
    lost = replace(result, facts={**facts, "accuracies": [None], "low": None, "high": None})
    assert "not finite" in lost.sentence


def test_another_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="schema 99"):
        ParityResult.from_json({**JUDGED.to_json(), "schema": 99})
