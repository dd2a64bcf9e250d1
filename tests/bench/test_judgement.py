import json
from dataclasses import replace

import pytest

from bench.case import Case
from bench.child import Outcome, Status
from bench.judgement import Judged, Judgement, TrainJudged, Verdict

CASE = Case(workload="net", num_workers=2)
JUDGEMENT = Judgement(
    verdict=Verdict.FAIL,
    reason="the loss at step 1 is 0.1 off",
    reference={"steps": 5, "batch_size": 4, "cut": None, "asked_steps": 5, "asked_batch_size": 4},
    random=("bernoulli_",),
    rule={"multiple": 4.0, "floor": 1e-5},
)


def test_a_judgement_comes_back_from_its_file() -> None:
    judged = Judged.of(CASE, Outcome(Status.OK, result=JUDGEMENT, elapsed_s=2.0))
    content = json.loads(json.dumps(judged.to_json()))
    assert content["id"] == CASE.id
    assert content["judged_as"] == "net-cpu-b4-w0-off-fp32"
    back = Judged.from_json(content)
    assert back.case == CASE
    assert back.verdict is Verdict.FAIL
    assert back.judgement is not None
    assert back.judgement["reason"] == JUDGEMENT.reason


def test_a_judging_that_came_to_no_end_has_no_verdict() -> None:
    outcome = Outcome(Status.TIMEOUT, reason="not done after 3 s")
    judged = Judged.of(CASE, outcome)
    assert judged.verdict is None
    assert Judged.from_json(json.loads(json.dumps(judged.to_json()))) == judged


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
    judged = TrainJudged(case=CASE, status=Status.OK, facts=facts)
    back = TrainJudged.from_json(json.loads(json.dumps(judged.to_json())))
    assert back == judged
    assert back.verdict == "different"
    assert "-5.00 percentage points (-6.00 to -4.00)" in back.sentence
    lost = replace(judged, facts={**facts, "accuracies": [None], "low": None, "high": None})
    assert "not finite" in lost.sentence


def test_another_schema_is_refused() -> None:
    content = {**Judged.of(CASE, Outcome(Status.OK, result=JUDGEMENT)).to_json(), "schema": 99}
    with pytest.raises(ValueError, match="schema 99"):
        Judged.from_json(content)
