"""The parent's side of parity: asks children, decides on trainings, and keeps the results.

Cases with the same numerics are judged once, however they load their data.
"""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from stepbench.config.case import Case
from stepbench.config.requests import Examination, TrainParityOptions
from stepbench.process.job import Job, Outcome
from stepbench.results.case_result import ParityResult, TrainingParityResult
from stepbench.runner import equivalence, outcomes
from stepbench.runner.jobs import CaseJobs
from stepbench_reports.analysis.stats import UNKNOWN, known
from stepbench_reports.schema.status import Status


@dataclass(frozen=True)
class _TrainingFailure(Exception):  # noqa: N818  # the outcome says whether it is an error
    """A training that failed."""

    outcome: Outcome


class ParityJudge:
    """Judges the cases of a run.

    Args:
        jobs: Runs jobs in children.
    """

    def __init__(self, jobs: CaseJobs) -> None:
        self._jobs = jobs
        self._directory = jobs.directory
        self._judged: dict[Case, ParityResult] = {}
        self._trainings_judged: dict[Case, TrainingParityResult] = {}
        self._accuracies: dict[tuple[Case, int], float] = {}

    def adopt(self, cases: Iterable[Case]) -> None:
        """Takes over the judgements of an earlier run."""
        for case in cases:
            judged = self._directory.read(ParityResult, case)
            if judged is not None and judged.is_final:
                self._judged[case.numerics_key] = judged
            trained = self._directory.read(TrainingParityResult, case)
            if trained is not None and trained.is_final:
                self._trainings_judged[case.numerics_key] = trained

    def judge(self, case: Case) -> ParityResult:
        """Compares a case's tensors, at the first call for all cases with the same numerics.

        Raises:
            StoreError: The result cannot be written.
        """
        parity = self._jobs.options.parity
        if parity is None:
            raise RuntimeError("a run with --no-parity judges nothing")
        key = case.numerics_key
        if key not in self._judged:
            examination = Examination(self._jobs.request(key), parity, self._directory.references)
            # The case's deadline bounds the parts that the budget does not.
            outcome = self._jobs.run(
                Job("stepbench.parity.examination:judge", (examination,)), parity.budget_s
            )
            self._judged[key] = outcomes.parity_result(case, outcome)
        result = replace(self._judged[key], case=case)
        self._directory.write(result)
        return result

    def judge_training(self, case: Case) -> TrainingParityResult:
        """Compares a case's trainings, at the first call for all cases with the same numerics.

        Raises:
            StoreError: The result cannot be written.
        """
        options = self._jobs.options.train_parity
        if options is None:
            raise RuntimeError("only --train-parity compares trainings")
        key = case.numerics_key
        if key not in self._trainings_judged:
            self._trainings_judged[key] = self._compare_trainings(key, options)
        result = replace(self._trainings_judged[key], case=case)
        self._directory.write(result)
        return result

    def _compare_trainings(self, case: Case, options: TrainParityOptions) -> TrainingParityResult:
        twin = case.twin
        facts: dict[str, Any] = {"twin": twin.id, "asked": asdict(options)}
        if twin == case:
            return TrainingParityResult(
                case=case, status=Status.OK, facts={**facts, "verdict": "twin"}
            )
        began_s = time.perf_counter()
        longest_s = 0.0

        def train(number: int) -> tuple[float, float] | None:
            nonlocal longest_s
            pair_began_s = time.perf_counter()
            if pair_began_s - began_s + longest_s > options.budget_s:
                return None
            try:
                accuracies = (
                    self._accuracy(case, number, options),
                    self._accuracy(twin, number, options),
                )
            except _TrainingFailure as failure:
                if failure.outcome.status is Status.TIMEOUT:
                    return None
                raise
            longest_s = max(longest_s, time.perf_counter() - pair_began_s)
            return accuracies

        try:
            of_case, of_twin, comparison = equivalence.decide(train, options)
        except _TrainingFailure as failure:
            return outcomes.failed_training(case, failure.outcome, facts)
        interval = UNKNOWN if comparison is None else comparison.difference
        inconclusive = equivalence.Equivalence.INCONCLUSIVE
        return TrainingParityResult(
            case=case,
            status=Status.OK,
            facts={
                **facts,
                "verdict": str(inconclusive if comparison is None else comparison.verdict),
                "accuracies": [known(accuracy) for accuracy in of_case],
                "twin_accuracies": [known(accuracy) for accuracy in of_twin],
                "difference": known(interval.value),
                "low": known(interval.low),
                "high": known(interval.high),
                "confidence": None if comparison is None else comparison.confidence,
                "elapsed_s": time.perf_counter() - began_s,
            },
        )

    def _accuracy(self, case: Case, number: int, options: TrainParityOptions) -> float:
        """The accuracy of a case trained from one seed; a twin of several cases is trained once."""
        if (case, number) not in self._accuracies:
            request = self._jobs.request(case)
            seed = request.settings.seed + number
            request = replace(request, settings=replace(request.settings, seed=seed))
            job = Job("stepbench.parity.training_parity:train_and_test", (request, options.steps))
            outcome = self._jobs.run(job, options.budget_s)
            if outcome.status is not Status.OK:
                raise _TrainingFailure(outcome)
            self._accuracies[case, number] = outcome.result.accuracy
        return self._accuracies[case, number]
