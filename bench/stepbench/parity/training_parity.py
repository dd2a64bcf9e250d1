"""Trains and tests a case as the lesson does, for the comparison of accuracies."""

from collections.abc import Callable
from statistics import fmean

import torch

from stepbench.config.requests import Request
from stepbench.errors import UsageError
from stepbench.measurement.active_case import start_case
from stepbench.training import loop
from stepbench.training.accuracy import accuracy
from stepbench_reports.schema.parity import Trained

REPORTED_STEPS = 500
"""The number of steps between two reports of progress."""
TESTED_SHARE = 0.25
"""The last share of training, in which accuracy is taken at each report and then averaged. A single
accuracy depends on the last few batches."""


def train_and_test(report: Callable[[str], None], request: Request, steps: int) -> Trained:
    """Trains a case from its seed's weights and tests it under `no_grad`.

    Args:
        report: Called with a few words on the progress.
        request: The case to train; its settings hold the seed.
        steps: The number of steps.

    Returns:
        The mean accuracy of the last tests, the number of test samples, and the last loss.

    Raises:
        UsageError: The workload has no test data, or no metric.
        UnsupportedError: This machine cannot run the case.
    """
    active = start_case(request, report)
    built, workload, case = active.built, active.built.workload, request.case
    if workload.test_dataset is None or workload.metric is None:
        missing = "test_dataset" if workload.test_dataset is None else "metric"
        raise UsageError(
            f"--train-parity: --workload {case.workload} has no {missing}; give "
            f"Workload({missing}=...), or omit --train-parity"
        )
    loss = torch.zeros(())
    accuracies: list[float] = []
    samples = 0
    for first_step in range(0, steps, REPORTED_STEPS):
        report(f"training, step {first_step} of {steps}")
        steps_done = min(first_step + REPORTED_STEPS, steps)
        loss = loop.train(built.training, active.source.batches, steps_done - first_step)
        if steps_done >= (1 - TESTED_SHARE) * steps:
            report(f"testing after {steps_done} steps")
            test_accuracy, samples = accuracy(built)
            built.model.train()
            accuracies.append(test_accuracy)
    last_loss = float(loss) * built.training.accumulate
    return Trained(accuracy=fmean(accuracies), samples=samples, loss=last_loss)
