"""The parent's side of parity: judges cases in children, compares trainings, stores the results.

Cases with the same numerics, which differ only in how they load data, are judged once.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from msgspec import structs

from stepbench.config.case import Case
from stepbench.config.requests import ParityRequest
from stepbench.process.job import Job, Outcome
from stepbench.runner import equivalence, outcomes
from stepbench.runner.jobs import CaseJobs
from stepbench.runner.progress import Task
from stepbench_reports.analysis.stats import UNKNOWN, finite_or_none
from stepbench_reports.schema.parity import (
    Trained,
    TrainingFacts,
    TrainingVerdict,
    TrainParityOptions,
)
from stepbench_reports.schema.results import ParityRecord, TrainingParityRecord
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
        self._judged: dict[Case, ParityRecord] = {}
        self._trainings_judged: dict[Case, TrainingParityRecord] = {}
        self._accuracies: dict[tuple[Case, int], float | None] = {}

    def adopt(self, cases: Iterable[Case]) -> None:
        """Takes over the judgements of an earlier run."""
        for case in cases:
            judged = self._directory.read(ParityRecord, case)
            if judged is not None and judged.is_final:
                self._judged[case.numerics_key] = judged
            trained = self._directory.read(TrainingParityRecord, case)
            if trained is not None and trained.is_final:
                self._trainings_judged[case.numerics_key] = trained

    def finished(self, task: Task) -> set[Case]:
        """The cases, by `numerics_key`, whose tensors or trainings have been compared."""
        if task is Task.PARITY:
            return set(self._judged)
        return set(self._trainings_judged) if task is Task.TRAINING_PARITY else set()

    def judge(self, case: Case) -> ParityRecord:
        """Compares a case's outputs, gradients and parameters with the reference's, and stores it.

        Cases that differ only in how data are loaded compute the same numbers: the first of them
        is compared, and the others take over its result.

        Raises:
            StoreError: The result cannot be written.
        """
        parity = self._jobs.options.parity
        if parity is None:
            raise RuntimeError("--no-parity skips the parity check")
        key = case.numerics_key
        if key not in self._judged:
            request = ParityRequest(self._jobs.request(key), parity, self._directory.references)
            # The budget does not cover compilation and confirmation; the case's deadline does.
            outcome = self._jobs.run(
                Job("stepbench.parity.judgement:judge", (request,)), parity.budget_s
            )
            self._judged[key] = outcomes.parity_record(case, outcome)
        result = structs.replace(self._judged[key], id=case.id, case=case)
        self._directory.write(result)
        return result

    def judge_training(self, case: Case) -> TrainingParityRecord:
        """Compares a case's trainings, once for all cases with the same numerics.

        Raises:
            StoreError: The result cannot be written.
        """
        options = self._jobs.options.train_parity
        if options is None:
            raise RuntimeError("only --train-parity compares trainings")
        key = case.numerics_key
        if key not in self._trainings_judged:
            self._trainings_judged[key] = self._compare_trainings(key, options)
        result = structs.replace(self._trainings_judged[key], id=case.id, case=case)
        self._directory.write(result)
        return result

    def _compare_trainings(self, case: Case, options: TrainParityOptions) -> TrainingParityRecord:
        eager_fp32 = case.eager_fp32
        facts = TrainingFacts(eager_fp32=eager_fp32.id, options=options)
        if eager_fp32 == case:
            facts = structs.replace(facts, verdict=TrainingVerdict.EAGER_FP32)
            return TrainingParityRecord(id=case.id, case=case, status=Status.OK, facts=facts)
        began_s = time.perf_counter()
        longest_s = 0.0

        def train(number: int) -> tuple[float, float] | None:
            nonlocal longest_s
            pair_began_s = time.perf_counter()
            if pair_began_s - began_s + longest_s > options.budget_s:
                return None
            accuracy = self._accuracy(case, number, options)
            if accuracy is None:
                return None
            eager_accuracy = self._accuracy(eager_fp32, number, options)
            if eager_accuracy is None:
                return None
            longest_s = max(longest_s, time.perf_counter() - pair_began_s)
            return accuracy, eager_accuracy

        try:
            accuracies, eager_accuracies, comparison = equivalence.decide(train, options)
        except _TrainingFailure as failure:
            return outcomes.failed_training(case, failure.outcome, facts)
        interval = UNKNOWN if comparison is None else comparison.difference
        facts = structs.replace(
            facts,
            verdict=TrainingVerdict.INCONCLUSIVE if comparison is None else comparison.verdict,
            accuracies=tuple(finite_or_none(accuracy) for accuracy in accuracies),
            eager_fp32_accuracies=tuple(finite_or_none(accuracy) for accuracy in eager_accuracies),
            difference=finite_or_none(interval.value),
            low=finite_or_none(interval.low),
            high=finite_or_none(interval.high),
            confidence=None if comparison is None else comparison.confidence,
            elapsed_s=time.perf_counter() - began_s,
        )
        return TrainingParityRecord(id=case.id, case=case, status=Status.OK, facts=facts)

    def _accuracy(self, case: Case, number: int, options: TrainParityOptions) -> float | None:
        """The accuracy of a case trained from one seed; each case and seed is trained once.

        `None` if the training takes longer than the budget.
        """
        if (case, number) not in self._accuracies:
            request = self._jobs.request(case)
            seed = request.settings.seed + number
            settings = structs.replace(request.settings, seed=seed)
            job = Job(
                "stepbench.parity.training_parity:train_and_test",
                (replace(request, settings=settings), options.steps, options.budget_s),
            )
            outcome = self._jobs.run(job)
            if outcome.status is not Status.OK:
                raise _TrainingFailure(outcome)
            trained: Trained | None = outcome.result
            self._accuracies[case, number] = None if trained is None else trained.accuracy
        return self._accuracies[case, number]
