"""A whole training and its test, as the lesson has them: what training parity compares."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset

from bench import batches, cycle
from bench.build import Built, build
from bench.errors import UsageError
from bench.request import Request

TEST_BATCH = 250
MOST_STREAMED = 10_000
"""Of a stream of test data, which may have no end, so many samples are tested on."""
REPORTED_STEPS = 500
"""After how many steps it is told how far training is."""
TESTED_SHARE = 0.25
"""In the last part of training, of this share, accuracy is taken at each report and averaged: at a
single moment it is off by whatever the last few batches did to the weights."""


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Attributes:
        accuracy: The metric over the test data, per sample: the share of right answers; the mean
            of several tests in the last part of training.
        samples: How many test samples there are.
        loss: Of the last step.
    """

    accuracy: float
    samples: int
    loss: float


def train_and_test(report: Callable[[str], None], request: Request, steps: int) -> Trained:
    """Trains a case from its seed's weights and tests it under `no_grad`.

    Args:
        report: Is told how far it is.
        request: What to train; its settings hold the seed.
        steps: How many steps.

    Raises:
        UsageError: The workload has no test data, or no metric.
        UnsupportedError: This machine cannot run the case.
    """
    report("building")
    built = build(request)
    workload, case = built.workload, request.case
    if workload.test_dataset is None or workload.metric is None:
        lacking = "test_dataset" if workload.test_dataset is None else "metric"
        raise UsageError(
            f"--train-parity: --workload {case.workload} has no {lacking}; give "
            f"Workload({lacking}=...), or leave --train-parity out"
        )
    loader = batches.make_loader(workload, built.dataset, case, request.settings.seed)
    stream = iter(loader)
    loss = torch.zeros(())
    tests: list[float] = []
    samples = 0
    for begun in range(0, steps, REPORTED_STEPS):
        report(f"training, step {begun} of {steps}")
        more = min(REPORTED_STEPS, steps - begun)
        loss = cycle.train(built.training, stream, more)
        if begun + more >= (1 - TESTED_SHARE) * steps:
            report(f"testing after {begun + more} steps")
            found, samples = accuracy(built)
            built.model.train()
            tests.append(found)
    return Trained(fmean(tests), samples, float(loss) * built.training.accumulate)


def accuracy(built: Built, most: int | None = None) -> tuple[float, int]:
    """The metric over the test data per sample, and how many samples these are.

    The model is called without `torch.compile`: what is tested are the weights. It is left in
    evaluation mode.

    Args:
        built: The case, trained.
        most: On how many samples at most; `None` takes all.
    """
    workload = built.workload
    if workload.test_dataset is None:
        raise RuntimeError("a workload without test data cannot be tested")
    data = some_of(workload.test_dataset(), most)
    loader = DataLoader(data, batch_size=TEST_BATCH, collate_fn=workload.collate)
    built.model.eval()
    stream: Iterator[Any] = iter(loader)
    training = replace(built.training, model=built.model)
    right: Tensor = cycle.evaluate(training, stream, len(loader))
    return float(right) / len(data), len(data)


def some_of(dataset: Any, most: int | None) -> Any:  # noqa: ANN401  # any data set
    """A data set, or so many of its samples, drawn at random and always the same ones.

    Of a stream it is the first ones, `MOST_STREAMED` at most.
    """
    if isinstance(dataset, IterableDataset):
        return list(islice(dataset, MOST_STREAMED if most is None else most))
    length = len(dataset)
    if most is None or length <= most:
        return dataset
    order = torch.randperm(length, generator=torch.Generator().manual_seed(0))
    return Subset(dataset, order[:most].tolist())
