"""The parent's side of parity: asks children, decides what trainings say, and keeps it all.

Cases that compute the same are judged once, whatever loads their data.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench import equivalence
from bench.case import Case
from bench.child import Job, Outcome, RunJob, Status
from bench.judgement import Judged, TrainJudged
from bench.request import Examination, Parity, Request, TrainParity
from bench.store import RunDirectory
from reports.stats import UNKNOWN, known


@dataclass(frozen=True)
class _Failure(Exception):  # noqa: N818  # what ended it is the outcome's own word
    """A training that came to no end."""

    outcome: Outcome


class Judging:
    """Judges the cases of a run.

    Args:
        directory: Where what is found is kept.
        request: What a child is to be told of a case.
        run_job: Asks a child.
        parity: How tensors are compared.
        train_parity: How trained models are compared.
    """

    def __init__(
        self,
        directory: RunDirectory,
        request: Callable[[Case], Request],
        run_job: RunJob,
        parity: Parity | None,
        train_parity: TrainParity | None,
    ) -> None:
        self._directory = directory
        self._request = request
        self._run_job = run_job
        self._parity = parity
        self._train_parity = train_parity
        self._judged: dict[Case, Judged] = {}
        self._train_judged: dict[Case, TrainJudged] = {}
        self._accuracies: dict[tuple[Case, int], float] = {}

    def adopt(self, cases: tuple[Case, ...]) -> None:
        """Takes over what an earlier run has judged already."""
        for case in cases:
            judged = self._directory.read_result(Judged, case)
            if judged is not None and judged.status in {Status.OK, Status.UNSUPPORTED}:
                self._judged[case.arithmetic] = judged
            trained = self._directory.read_result(TrainJudged, case)
            if trained is not None and trained.status in {Status.OK, Status.UNSUPPORTED}:
                self._train_judged[case.arithmetic] = trained

    def judged(self, case: Case) -> Judged:
        """A case's judgement; come to at the first call for all that compute the same, and kept.

        Raises:
            StoreError: It could not be kept.
        """
        if self._parity is None:
            raise RuntimeError("a run with --no-parity judges nothing")
        key = case.arithmetic
        if key not in self._judged:
            asked = Examination(self._request(key), self._parity, self._directory.references)
            # What its budget does not hold, the case's own deadline does.
            outcome = self._run_job(Job("bench.parity:judge", (asked,)), self._parity.budget_s)
            self._judged[key] = Judged.of(case, outcome)
        judged = replace(self._judged[key], case=case)
        self._directory.write_result(judged)
        return judged

    def train_judged(self, case: Case) -> TrainJudged:
        """What a case's trainings say beside its eager twin's; likewise.

        Raises:
            StoreError: It could not be kept.
        """
        key = case.arithmetic
        if key not in self._train_judged:
            self._train_judged[key] = self._compare_trainings(key)
        judged = replace(self._train_judged[key], case=case)
        self._directory.write_result(judged)
        return judged

    def _compare_trainings(self, case: Case) -> TrainJudged:
        asked = self._train_parity
        if asked is None:
            raise RuntimeError("only --train-parity compares trainings")
        twin = case.twin
        facts: dict[str, Any] = {"twin": twin.id, "asked": asdict(asked)}
        if twin == case:
            return TrainJudged(case=case, status=Status.OK, facts={**facts, "verdict": "twin"})
        began = time.perf_counter()
        longest_s = 0.0

        def train(number: int) -> tuple[float, float] | None:
            nonlocal longest_s
            begun = time.perf_counter()
            if begun - began + longest_s > asked.budget_s:
                return None
            try:
                pair = (self._accuracy(case, number, asked), self._accuracy(twin, number, asked))
            except _Failure as failure:
                if failure.outcome.status is Status.TIMEOUT:
                    return None
                raise
            longest_s = max(longest_s, time.perf_counter() - begun)
            return pair

        try:
            mine, twins, found = equivalence.decide(train, asked)
        except _Failure as failure:
            return TrainJudged.failed(case, failure.outcome, facts)
        interval = UNKNOWN if found is None else found.difference
        verdict = equivalence.Equivalence.INCONCLUSIVE if found is None else found.verdict
        return TrainJudged(
            case=case,
            status=Status.OK,
            facts={
                **facts,
                "verdict": str(verdict),
                "accuracies": [known(accuracy) for accuracy in mine],
                "twin_accuracies": [known(accuracy) for accuracy in twins],
                "difference": known(interval.value),
                "low": known(interval.low),
                "high": known(interval.high),
                "confidence": None if found is None else found.confidence,
                "elapsed_s": time.perf_counter() - began,
            },
        )

    def _accuracy(self, case: Case, number: int, asked: TrainParity) -> float:
        """What a case comes to from one seed; trained once, also where it is others' twin."""
        if (case, number) not in self._accuracies:
            request = self._request(case)
            seed = request.settings.seed + number
            request = replace(request, settings=replace(request.settings, seed=seed))
            job = Job("bench.training:train_and_test", (request, asked.steps))
            outcome = self._run_job(job, asked.budget_s)
            if outcome.status is not Status.OK:
                raise _Failure(outcome)
            self._accuracies[case, number] = outcome.result.accuracy
        return self._accuracies[case, number]
