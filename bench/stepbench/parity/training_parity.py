"""Trains and tests a case as the lesson does, for the comparison of accuracies."""

import time
from collections.abc import Callable
from statistics import fmean

import torch

from stepbench.config.requests import Request
from stepbench.errors import UsageError
from stepbench.measurement.active_case import ActiveCase, start_case
from stepbench.training import loop
from stepbench.training.accuracy import accuracy
from stepbench.training.heartbeat import after_untimed_steps
from stepbench_reports.schema.parity import Trained

REPORTED_STEPS = 500
"""The number of steps between two reports of progress."""
TESTED_SHARE = 0.25
"""The last share of training, in which accuracy is taken at each report and then averaged. A single
accuracy depends on the last few batches."""


class OutOfTimeError(Exception):
    """The budget of a training is spent."""


def train_and_test(
    report: Callable[[str], None], request: Request, steps: int, budget_s: float
) -> Trained | None:
    """Trains a case from its seed's weights and tests it under `no_grad`.

    Args:
        report: Called with a few words on the progress.
        request: The case to train; its settings hold the seed.
        steps: The number of steps.
        budget_s: The time in which the training must end, seconds.

    Returns:
        The mean accuracy of the last tests, the number of test samples, and the last loss; `None`
        if the time was not enough.

    Raises:
        UsageError: The workload has no test data, or no metric.
        UnsupportedError: This machine cannot run the case.
    """
    end_s = time.perf_counter() + budget_s
    active = start_case(request, report)
    workload, case = active.built.workload, request.case
    if not workload.has_test_data or workload.metric is None:
        missing = "metric" if workload.has_test_data else "test_dataset"
        raise UsageError(
            f"--train-parity: --workload {case.workload} has no {missing}; give "
            f"Workload({missing}=...), or omit --train-parity"
        )
    try:
        return _train(report, active, steps, end_s)
    except OutOfTimeError:
        return None


def _train(report: Callable[[str], None], active: ActiveCase, steps: int, end_s: float) -> Trained:
    """Trains and tests a case until `end_s`, by `time.perf_counter`.

    Raises:
        OutOfTimeError: The training has not ended by then.
    """
    built = active.built
    loss = torch.zeros(())
    accuracies: list[float] = []
    samples = 0
    for first_step in range(0, steps, REPORTED_STEPS):
        report(f"training, step {first_step} of {steps}")
        steps_done = min(first_step + REPORTED_STEPS, steps)
        end_step = _until(end_s, after_untimed_steps(report, "training", first_step))
        batches = active.source.batches
        loss = loop.train(built.training, batches, steps_done - first_step, end_step=end_step)
        if steps_done >= (1 - TESTED_SHARE) * steps:
            report(f"testing after {steps_done} steps")
            end_step = _until(end_s, after_untimed_steps(report, "testing"))
            test_accuracy, samples = accuracy(built, end_step=end_step)
            built.model.train()
            accuracies.append(test_accuracy)
    last_loss = float(loss) * built.training.accumulate
    return Trained(accuracy=fmean(accuracies), samples=samples, loss=last_loss)


def _until(end_s: float, end_step: Callable[[], None]) -> Callable[[], None]:
    def end_step_in_time() -> None:
        end_step()
        if time.perf_counter() > end_s:
            raise OutOfTimeError

    return end_step_in_time
